SELECT 1; SELECT 2
SELECT 1; DROP TABLE blocks
DROP TABLE blocks
CREATE TABLE x AS SELECT 1
CREATE OR REPLACE MACRO f() AS 1
CREATE MACRO blocks() AS TABLE SELECT 1
CREATE SECRET (TYPE s3)
CREATE TYPE t AS ENUM ('a')
CREATE VIEW v AS SELECT 1
INSERT INTO blocks SELECT * FROM blocks
UPDATE blocks SET n = 1
DELETE FROM blocks
TRUNCATE blocks
MERGE INTO blocks USING transfers ON true WHEN MATCHED THEN DELETE
ALTER TABLE blocks ADD COLUMN x INT
COPY blocks TO '/tmp/x.csv'
COPY (SELECT 1) TO 's3://b/x.parquet'
EXPORT DATABASE '/tmp/x'
IMPORT DATABASE '/tmp/x'
ATTACH '/tmp/x.db'
ATTACH 'postgres:host=127.0.0.1' AS pg (TYPE postgres)
DETACH memory
USE memory
INSTALL httpfs
LOAD httpfs
LOAD '/tmp/x.duckdb_extension'
SET threads = 64
SET VARIABLE x = 1
RESET threads
PRAGMA database_list
PRAGMA version
CALL pragma_version()
CHECKPOINT
VACUUM
ANALYZE
BEGIN
COMMIT
EXPLAIN SELECT 1
EXPLAIN ANALYZE SELECT 1
PREPARE p AS SELECT 1
EXECUTE p
DEALLOCATE p
SHOW TABLES
SHOW ALL TABLES
DESCRIBE blocks
SUMMARIZE blocks
SELECT * FROM (DESCRIBE blocks)
SELECT * FROM (SHOW TABLES)
SELECT * FROM (SUMMARIZE blocks)
SELECT $1
SELECT ?
SELECT $name
SELECT * FROM '/etc/passwd'
SELECT * FROM 'x.parquet'
SELECT * FROM "x.csv"
SELECT * FROM 's3://bucket/x.parquet'
SELECT * FROM 'https://example.com/x.json'
FROM '*.parquet'
SELECT * FROM read_csv('/etc/passwd')
SELECT * FROM READ_CSV('/etc/passwd')
SELECT * FROM "read_csv"('/etc/passwd')
SELECT * FROM main.read_csv('/etc/passwd')
SELECT * FROM system.main.read_csv('/etc/passwd')
SELECT * FROM read_csv_auto('/etc/passwd')
SELECT * FROM read_parquet('x.parquet')
SELECT * FROM parquet_scan('x.parquet')
SELECT * FROM parquet_metadata('x.parquet')
SELECT * FROM parquet_schema('x.parquet')
SELECT * FROM read_json('x.json')
SELECT * FROM read_ndjson_objects('x.json')
SELECT * FROM read_text('/etc/passwd')
SELECT * FROM read_blob('/etc/passwd')
SELECT * FROM read_duckdb('x.db')
SELECT * FROM glob('/*')
SELECT * FROM sniff_csv('/etc/passwd')
SELECT * FROM query('SELECT 1')
SELECT * FROM query_table('blocks')
SELECT * FROM seq_scan('blocks')
SELECT * FROM summary((SELECT 1))
SELECT * FROM postgres_scan('host=127.0.0.1', 'public', 't')
SELECT * FROM postgres_query('pg', 'SELECT 1')
SELECT * FROM postgres_execute('pg', 'DROP TABLE t')
SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))
SELECT json_serialize_sql('SELECT 1')
SELECT json_serialize_plan('SELECT 1')
SELECT * FROM arrow_scan(1, 2, 3)
SELECT * FROM pandas_scan(1)
SELECT * FROM python_map_function(1)
SELECT * FROM repeat('x', 10)
SELECT * FROM repeat_row(1, num_rows = 10)
SELECT * FROM test_all_types()
SELECT * FROM duckdb_tables()
SELECT * FROM duckdb_databases()
SELECT * FROM duckdb_settings()
SELECT * FROM duckdb_secrets()
SELECT * FROM duckdb_functions()
SELECT * FROM duckdb_logs
SELECT * FROM duckdb_tables
SELECT * FROM pragma_table_info('blocks')
SELECT * FROM pragma_database_size()
SELECT * FROM which_secret('s3://x', 's3')
SELECT * FROM pg_timezone_names()
SELECT * FROM information_schema.tables
SELECT * FROM pg_catalog.pg_class
SELECT * FROM pg_class
SELECT * FROM sqlite_master
SELECT * FROM main.sqlite_master
SELECT * FROM memory.main.blocks
SELECT * FROM system.information_schema.tables
SELECT * FROM temp.main.x
SELECT * FROM __hot_0
SELECT * FROM secrets
SELECT * FROM other.blocks
SELECT * FROM blocks AT (VERSION => 1)
SELECT getenv('HOME')
SELECT GetEnv('HOME')
SELECT getvariable('x')
SELECT current_setting('threads')
SELECT current_query()
SELECT current_database()
SELECT current_schemas(true)
SELECT version()
SELECT txid_current()
SELECT nextval('s')
SELECT currval('s')
SELECT sleep_ms(10000)
SELECT pg_sleep(10)
SELECT write_log('x')
SELECT setseed(0.5)
SELECT in_search_path('a', 'b')
SELECT has_table_privilege('blocks', 'SELECT')
SELECT pg_get_viewdef(1)
SELECT inet_server_addr()
SELECT create_sort_key('a', 'ASC')
SELECT finalize(1)
SELECT combine(1, 2)
SELECT remap_struct({'a': 1}, {'b': 2}, {}, {})
SELECT stats(n) FROM blocks
SELECT vector_type(n) FROM blocks
SELECT hash.getenv() FROM blocks
SELECT 'HOME'::VARCHAR.getenv()
SELECT list_transform([1], lambda x: getenv('HOME'))
SELECT list_transform(['HOME'], x -> getenv(x))
SELECT [getenv(x) FOR x IN ['HOME']]
SELECT n FROM blocks ORDER BY getenv('HOME')
SELECT n FROM blocks LIMIT getenv('HOME')::INT
SELECT n FROM blocks GROUP BY getenv('HOME'), n
SELECT n FROM blocks HAVING getenv('HOME') = 'x'
SELECT n FROM blocks QUALIFY getenv('HOME') = 'x'
SELECT count(*) FILTER (WHERE getenv('HOME') = 'x') FROM blocks
SELECT sum(n) OVER (ORDER BY getenv('HOME')) FROM blocks
SELECT string_agg(hash ORDER BY getenv('HOME')) FROM blocks
SELECT DISTINCT ON (getenv('HOME')) n FROM blocks
SELECT * REPLACE (getenv('HOME') AS hash) FROM blocks
SELECT CASE WHEN true THEN getenv('HOME') END
SELECT n BETWEEN getenv('A')::INT AND 2 FROM blocks
SELECT (SELECT getenv('HOME'))
SELECT EXISTS (SELECT 1 FROM duckdb_tables)
SELECT * FROM blocks JOIN transfers ON getenv('HOME') = 'x'
SELECT * FROM range(getenv('HOME')::INT)
SELECT * FROM unnest((SELECT list(x) FROM read_text('/etc/passwd') t(x)))
SELECT * FROM (VALUES (getenv('HOME')))
PIVOT blocks ON big IN (true) USING max(getenv('HOME'))
PIVOT blocks ON big USING count(*)
PIVOT duckdb_tables ON big IN (true) USING count(*)
WITH a AS (SELECT getenv('HOME')) SELECT 1
WITH a AS (SELECT * FROM duckdb_tables) SELECT 1
WITH sqlite_master AS (SELECT 1) SELECT * FROM sqlite_master, (SELECT * FROM pg_class)
SELECT (WITH pg_class AS (SELECT 1) SELECT 1), * FROM pg_class
SELECT * FROM (WITH pg_class AS (SELECT 1 AS x) SELECT * FROM pg_class) a, pg_class b
WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a
WITH pg_class AS (SELECT * FROM pg_class) SELECT * FROM pg_class
WITH RECURSIVE t AS (SELECT 1 UNION ALL SELECT 1 FROM duckdb_tables) SELECT * FROM t
(WITH pg_class AS (SELECT 1) SELECT 1) UNION ALL (SELECT 1 FROM pg_class)
WITH d AS (DELETE FROM blocks RETURNING *) SELECT * FROM d
WITH d AS (INSERT INTO blocks VALUES (1) RETURNING *) SELECT * FROM d
SELECT 1::secret_type
SELECT CAST(1 AS main.secret_type)
SELECT 'x'::regclass
SELECT n FROM blocks WHERE hash = (FROM read_text('/etc/passwd') SELECT content)
SELECT 1 UNION ALL SELECT 1 FROM glob('*')
SELECT 1 INTO x
SELECT * FROM blocks FOR UPDATE
SELECT
;
;;
SELECT (
SELEC 1
