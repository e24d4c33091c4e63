"""Both databases as declared tables: the one description that code, migrations and reviewers share.

**state** holds the truth of orchestration, **data** the datasets and what fences their writers. They may live in
one Postgres server and never share a transaction or a foreign key, so each has a `MetaData` of its own and a
reference from data to state is a plain column.

Importing this package loads every table. A test keeps three things equal: these declarations, a migrated
database, and the reviewed files `schema_state.sql` and `schema_data.sql`.
"""

from traceplane.store.tables import audit, batch, catalog, datasets, definitions, hot, tasks, tenancy
from traceplane.store.tables.columns import data, state

__all__ = ["audit", "batch", "catalog", "data", "datasets", "definitions", "hot", "state", "tasks", "tenancy"]
