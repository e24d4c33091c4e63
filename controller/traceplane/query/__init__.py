"""The query service: one SELECT over published assets, hot rows and cold files alike.

Two sides with a wall between them, which import contracts keep. The **broker** (the service process) holds the
credentials: it verifies the user, has the gate check the statement, resolves names, fetches files and reads hot
rows. A **cell** runs the SQL: a single-use process with no credential, no network and no extension, which sees
linked files in one folder and requests rows from the broker over a socket. Neither relies on the other's part of
the defence.

Rooms of the broker, top to bottom: `api` (HTTP), `batch` (queries that run later), `broker` (one query), `attach`
(the databases), `relations` (what a name means and reads), `gate` (what a statement may be), `files` (cold files
and exports), `admission` (slots and queues). The cell's: `cell` and `sandbox`. Between them: `wire`.

One query in ten files: `api.service` -> `admission.slots` -> `gate.supervisor` -> `broker.engine` ->
`attach.catalog` -> `relations.relation` -> `broker.cells` -> `broker.conversation` -> `cell.execution`, by the
messages of `wire`.
"""
