"""The query service: one SELECT over published assets, hot rows and cold files alike.

Two parts with a wall between them. The **broker** (the service process) holds the credentials: it verifies the
user, lets the gate judge the statement, resolves names, fetches files and reads hot rows. A **cell** runs the
SQL: a single-use process with no credential, no network and no extension, which sees linked files in one
folder and asks the broker for rows over a socket. Neither trusts the other's part of the defence.

One query, followable: `app` -> `gate` -> `engine` -> `attach` (snapshot, names) -> `cells` -> `cell`.
"""
