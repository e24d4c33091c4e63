"""The untrusted side of a query: confined processes that each run one statement and end.

`zygote` forks them, `warm` prepares what they inherit, `child` is where one begins, `execution` runs the statement
over `views` of files and of `hot_scan`s, `answers` renders what comes out. Nothing here imports anything of the
service but `query.wire` and `query.sandbox`.
"""
