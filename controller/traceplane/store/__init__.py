"""The only home of SQL: connections, tables, migrations and the named statements over both databases."""
