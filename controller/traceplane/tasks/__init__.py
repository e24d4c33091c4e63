"""The rules of tasks: their states and transitions, what causes them, and when they are retried.   (pure)

The statements that carry the transitions out are in `store/statements`: `enqueue` makes tasks, `claims` starts
attempts, `leases` renews them, `completions` and `attempts` end them, `cancel` and `operate` stop or reopen them.
"""
