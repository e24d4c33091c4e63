"""An answer on disk, in a DuckDB of one's own: join it with what one has. Usage: python3 local.py FILE.parquet"""

import sys

import duckdb

database = duckdb.connect()
database.execute("CREATE VIEW blocks AS SELECT * FROM read_parquet(?)".replace("?", f"'{sys.argv[1]}'"))
database.execute("CREATE TABLE mine AS SELECT range AS block_number, 'seen' AS mark FROM range(0, 100, 10)")
print(
    database.sql("SELECT count(*) AS blocks, count(mark) AS marked FROM blocks LEFT JOIN mine USING (block_number)")
)

# What the file was read from stands in it.
(versions,) = database.sql(
    f"SELECT value::VARCHAR FROM parquet_kv_metadata('{sys.argv[1]}') WHERE key = 'trace.versions'"
).fetchone()
print(versions)
