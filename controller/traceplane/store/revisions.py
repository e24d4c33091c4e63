"""The schema revisions this release knows; a test holds them equal to the newest migrations.

They are constants so that a process can compare them at start without loading the migration scripts.
"""

STATE = "s0016"
DATA = "d0005"

STATE_VERSION_TABLE = "trace_schema_state"
DATA_VERSION_TABLE = "trace_schema_data"
"""Named apart, so that one database may even hold both schemas."""
