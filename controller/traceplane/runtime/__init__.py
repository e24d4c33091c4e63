"""Running one attempt of a task, the same way in a worker pod and in the dispatcher.

A process claims a task and makes an `Attempt` of it; the attempt runs the operator, renews the lease and completes.
What it needs of the dispatcher goes over a `TaskPort`: HTTP in a pod, a call to the parts next door in the
dispatcher. What it needs of its own process stands in a `Host`. Claiming, and what is done after an attempt, is the
process's affair.
"""
