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
SELECT * FROM (SHOW TABLES)
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
SELECT * FROM read_csv(['/etc/passwd'], header = false)
SELECT * FROM read_json_auto('/etc/passwd')
SELECT * FROM read_json_objects('/etc/passwd')
SELECT * FROM read_json_objects_auto('/etc/passwd')
SELECT * FROM read_ndjson('/etc/passwd')
SELECT * FROM read_ndjson_auto('/etc/passwd')
SELECT * FROM parquet_bloom_probe('x.parquet', 'a', 1)
SELECT * FROM parquet_file_metadata('x.parquet')
SELECT * FROM parquet_full_metadata('x.parquet')
SELECT * FROM parquet_kv_metadata('x.parquet')
SELECT * FROM read_arrow('x.arrow')
SELECT * FROM scan_arrow_ipc([{'ptr': 1, 'size': 1}])
SELECT * FROM sqlite_scan('x.db', 't')
SELECT * FROM mysql_query('m', 'SELECT 1')
SELECT * FROM iceberg_scan('s3://b/t')
SELECT * FROM delta_scan('s3://b/t')
SELECT * FROM st_read('/etc/passwd')
SELECT * FROM read_xlsx('/etc/passwd')
SELECT * FROM postgres_attach('host=127.0.0.1')
SELECT * FROM postgres_scan_pushdown('host=127.0.0.1', 'public', 't')
SELECT * FROM load_aws_credentials()
SELECT http_get('http://127.0.0.1')
SELECT * FROM pragma_show('blocks')
SELECT * FROM pragma_storage_info('blocks')
SELECT * FROM pragma_platform()
SELECT * FROM pragma_user_agent()
SELECT * FROM pragma_collations()
SELECT * FROM pragma_metadata_info()
SELECT * FROM pragma_last_profiling_output()
SELECT * FROM pragma_detailed_profiling_output()
SELECT * FROM pragma_version()
SELECT * FROM duckdb_columns()
SELECT * FROM duckdb_constraints()
SELECT * FROM duckdb_dependencies()
SELECT * FROM duckdb_extensions()
SELECT * FROM duckdb_external_file_cache()
SELECT * FROM duckdb_indexes()
SELECT * FROM duckdb_keywords()
SELECT * FROM duckdb_log_contexts()
SELECT * FROM duckdb_memory()
SELECT * FROM duckdb_optimizers()
SELECT * FROM duckdb_prepared_statements()
SELECT * FROM duckdb_schemas()
SELECT * FROM duckdb_secret_types()
SELECT * FROM duckdb_sequences()
SELECT * FROM duckdb_temporary_files()
SELECT * FROM duckdb_types()
SELECT * FROM duckdb_variables()
SELECT * FROM duckdb_views()
SELECT * FROM "duckdb_secrets"()
SELECT * FROM main."duckdb_secrets"()
SELECT * FROM system."main"."duckdb_secrets"()
SELECT * FROM /* hidden */ duckdb_settings /* here */ ()
SELECT * FROM checkpoint('memory')
SELECT * FROM force_checkpoint()
SELECT * FROM storage_info('blocks')
SELECT * FROM enable_logging()
SELECT * FROM disable_logging()
SELECT * FROM truncate_duckdb_logs()
SELECT * FROM parse_duckdb_log_message('x', 'y')
SELECT * FROM from_substrait('x'::BLOB)
SELECT get_substrait('SELECT 1')
SELECT json_deserialize_sql(json_serialize_sql('SELECT 1'))
PRAGMA json_execute_serialized_sql('{}')
SELECT * FROM query(getenv('HOME'))
SELECT * FROM query('FROM ' || 'duckdb_settings()')
SELECT * FROM query_table(['blocks', 'transfers'])
SELECT * FROM "query"('SELECT 1')
SELECT "getenv"('HOME')
SELECT main.getenv('HOME')
SELECT system.main.getenv('HOME')
SELECT getenv/**/('HOME')
SELECT ('HOME').getenv()
SELECT 'HOME'.getenv().lower()
SELECT list_aggregate(['x'], 'getvariable'), getvariable('x')
SELECT list_filter(['HOME'], lambda x: getenv(x) IS NOT NULL)
SELECT list_reduce(['HOME', 'PATH'], lambda a, b: getenv(a) || getenv(b))
SELECT {'a': getenv('HOME')}
SELECT MAP {'a': getenv('HOME')}
SELECT [1, 2][getenv('HOME')::INT]
SELECT COLUMNS(c -> c = getenv('HOME')) FROM blocks
SELECT coalesce(NULL, (SELECT content FROM read_text('/etc/passwd')))
SELECT * FROM blocks WHERE n IN (SELECT size FROM read_blob('/etc/passwd'))
SELECT * FROM blocks WHERE EXISTS (FROM glob('/root/*'))
SELECT * FROM blocks, LATERAL (SELECT * FROM read_text(blocks.hash)) r
SELECT * FROM blocks ASOF JOIN duckdb_settings() s ON blocks.hash >= s.name
SELECT * FROM blocks POSITIONAL JOIN glob('*')
SELECT * FROM (FROM read_text('/etc/passwd')) USING SAMPLE 1 ROWS
SELECT * FROM 'data/*.csv' AS t
SELECT * FROM '/proc/self/environ'
SELECT * FROM 'file:///etc/passwd'
SELECT * FROM 'gs://b/x.parquet'
SELECT * FROM 'hf://datasets/x/y.parquet'
SELECT * FROM 'azure://c/x.parquet'
SELECT * FROM "/etc/passwd"
SELECT * FROM "..".blocks
SELECT * FROM blocks."/etc/passwd"
FROM 'x.json' SELECT *
SELECT * FROM pg_catalog.pg_tables
SELECT * FROM pg_catalog.pg_settings
SELECT * FROM pg_attribute
SELECT * FROM sqlite_schema
SELECT * FROM sqlite_temp_master
SELECT * FROM duckdb_columns
SELECT * FROM pragma_database_list
SELECT * FROM __shadow_0
SELECT * FROM warm
SELECT * FROM public.blocks
SELECT * FROM "memory"."main"."blocks"
SELECT * FROM pg.public.pg_shadow
SHOW DATABASES
EXPLAIN (ANALYZE, FORMAT json) SELECT 1
SET SESSION threads = 1
SET GLOBAL enable_external_access = true
SET enable_external_access = true; SELECT * FROM read_text('/etc/passwd')
SELECT 1; SET lock_configuration = false
RESET ALL
PRAGMA enable_profiling
PRAGMA memory_limit = '100GB'
PRAGMA table_info('blocks')
PRAGMA show_tables
COPY (SELECT 1) TO '/tmp/x.csv' (FORMAT csv)
COPY blocks FROM '/etc/passwd'
COPY FROM DATABASE memory TO x
ATTACH ':memory:' AS x
ATTACH IF NOT EXISTS 's3://b/x.db' (READ_ONLY)
CREATE TEMP TABLE x AS SELECT 1
CREATE TABLE x (a INTEGER DEFAULT (getenv('HOME')))
CREATE SCHEMA x
CREATE SEQUENCE s
CREATE INDEX i ON blocks (n)
CREATE OR REPLACE VIEW blocks AS SELECT 1
CREATE PERSISTENT SECRET s (TYPE s3)
CREATE OR REPLACE TEMP MACRO lower(x) AS getenv(x)
CREATE FUNCTION f(x) AS x
DROP SECRET s
DROP SCHEMA main CASCADE
DROP MACRO lower
COMMENT ON TABLE blocks IS 'x'
ALTER DATABASE memory SET ALIAS TO x
UPDATE EXTENSIONS
FORCE INSTALL httpfs FROM community
FORCE CHECKPOINT
START TRANSACTION
ROLLBACK
INSERT INTO blocks BY NAME SELECT 1 AS n
INSERT OR REPLACE INTO blocks VALUES (1)
DELETE FROM blocks USING transfers WHERE blocks.n = transfers.n
WITH u AS (UPDATE blocks SET n = 1 RETURNING *) SELECT * FROM u
WITH x AS (COPY blocks TO '/tmp/x') SELECT 1
WITH a AS (SELECT 1) INSERT INTO blocks SELECT * FROM a
WITH a AS (SELECT 1) DELETE FROM blocks
WITH a AS (SELECT * FROM query('SELECT 1')) SELECT * FROM a
WITH a AS (SELECT 1), b AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM a
WITH RECURSIVE a AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM a, duckdb_settings()) SELECT * FROM a
WITH duckdb_tables AS (SELECT 1) SELECT * FROM main.duckdb_tables
SELECT (SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a)) FROM a
VALUES (getenv('HOME'))
VALUES ((SELECT content FROM read_text('/etc/passwd')))
PIVOT read_csv('/etc/passwd') ON column0 IN ('a') USING count(*)
UNPIVOT (FROM duckdb_settings()) ON name, value INTO NAME k VALUE v
SELECT * FROM range((SELECT count(*) FROM duckdb_settings()))
SELECT * FROM unnest([getenv('HOME')])
SELECT * FROM generate_series(1, getenv('HOME')::INT)
SELECT n FROM blocks LIMIT (SELECT count(*) FROM duckdb_settings())
SELECT n FROM blocks OFFSET getenv('HOME')::INT
SELECT sum(n) OVER w FROM blocks WINDOW w AS (ORDER BY getenv('HOME'))
SELECT sum(n) OVER (ROWS BETWEEN getenv('HOME')::INT PRECEDING AND CURRENT ROW) FROM blocks
SELECT max(n) FILTER (WHERE EXISTS (FROM duckdb_settings())) FROM blocks
SELECT TRY(getenv('HOME'))
SELECT getenv('HOME') COLLATE NOCASE
SELECT CAST(getenv('HOME') AS INTEGER)
SELECT n IN (getenv('HOME')) FROM blocks
SELECT 'a' || getenv('HOME')
SELECT -getenv('HOME')
SELECT getenv('HOME') IS NULL
SELECT getenv(x) FROM (SELECT 'HOME' AS x)
SELECT ｇｅｔｅｎｖ('HOME')
SELECT gеtenv('HOME')
SELECT * FROM rеad_csv('/etc/passwd')
SELECT * FROM read_csv​('/etc/passwd')
SELECT current_role()
SELECT current_schema()
SELECT current_catalog()
SELECT pg_conf_load_time()
SELECT pg_table_is_visible(1)
SELECT obj_description(1, 'x')
SELECT format_pg_type(1, 'x')
SELECT col_description(1, 1)
SELECT pg_size_pretty(1), pg_get_expr('x', 1)
SELECT shobj_description(1, 'x')
SELECT current_transaction_id()
SELECT get_block_size('x')
SELECT constant_or_null(1, pg_my_temp_schema())
SELECT current_localtime(), txid_current()
SELECT is_histogram_other_bin(1), version()
SELECT write_log('x', level := 'error')
SELECT sleep_ms(1) FROM range(1000)
SELECT nextval('main.s')
SELECT add_parquet_key('k', 'v')
SELECT 'blocks'::regclass::oid
SELECT 1::main.integer
SELECT NULL::"/etc/passwd"
SELECT CAST('x' AS ENUM('x', 'y'))
SELECT $1 + ?
EXECUTE p(1)
PREPARE p AS FROM read_text('/etc/passwd')
CALL read_text('/etc/passwd')
CALL query('SELECT 1')
LOAD httpfs; SELECT 1
SELECT 1 LIMIT 1; ATTACH '/tmp/x.db'
BEGIN; SELECT 1; COMMIT
SELECT * FROM blocks AT (TIMESTAMP => now())
SELECT * FROM (SELECT 1) INTO OUTFILE '/tmp/x'
SELECT 1 /* unfinished
SELECT 'unfinished
SELECT $$unfinished
WITH RECURSIVE "/etc/passwd" AS (SELECT * FROM '/etc/passwd' UNION ALL SELECT * FROM "/etc/passwd" WHERE false) SELECT * FROM "/etc/passwd"
WITH RECURSIVE "/tmp/x.parquet" AS (SELECT a FROM "/tmp/x.parquet" UNION SELECT a FROM "/tmp/x.parquet") SELECT * FROM "/tmp/x.parquet"
WITH RECURSIVE "s3://bucket/x.parquet" AS (SELECT a FROM 's3://bucket/x.parquet' UNION ALL SELECT 1) SELECT * FROM "s3://bucket/x.parquet"
WITH RECURSIVE pg_settings AS (SELECT name FROM pg_settings UNION ALL SELECT name FROM pg_settings WHERE false) SELECT * FROM pg_settings
WITH RECURSIVE pg_class AS (SELECT relname FROM (SELECT relname FROM pg_class) UNION ALL SELECT 'x' FROM pg_class WHERE false) SELECT * FROM pg_class
WITH RECURSIVE t AS (SELECT 1 FROM sqlite_master UNION ALL SELECT 1 FROM t) SELECT * FROM t
SHOW SCHEMAS
SHOW VARIABLES
SHOW TABLES FROM other.main
SELECT * FROM (SHOW ALL TABLES)
SELECT (SHOW TABLES)
SELECT EXISTS (SHOW TABLES)
DESCRIBE pg_class
DESCRIBE duckdb_tables
DESCRIBE other.blocks
DESCRIBE memory.main.blocks
DESCRIBE system.information_schema.tables
DESCRIBE information_schema.key_column_usage
DESCRIBE '/etc/passwd'
DESCRIBE SELECT * FROM read_csv('/etc/passwd')
DESCRIBE SELECT getenv('HOME')
DESCRIBE SELECT * FROM (SELECT * FROM pg_class)
SHOW threads
SUMMARIZE pg_class
SUMMARIZE 'x.parquet'
SUMMARIZE duckdb_settings
SUMMARIZE information_schema.views
SUMMARIZE SELECT * FROM read_text('/etc/passwd')
SELECT * FROM (SUMMARIZE SELECT getenv('HOME') AS x)
SELECT * FROM (DESCRIBE SELECT * FROM glob('*'))
SELECT * FROM (DESCRIBE pg_class), blocks
SELECT * FROM information_schema.key_column_usage
SELECT * FROM information_schema.table_constraints
SELECT * FROM information_schema.referential_constraints
SELECT * FROM information_schema.constraint_column_usage
SELECT * FROM information_schema.character_sets
SELECT * FROM information_schema.views
SELECT * FROM "information_schema"."key_column_usage"
SELECT * FROM INFORMATION_SCHEMA.Views
SELECT * FROM memory.information_schema.columns
SELECT * FROM "system"."information_schema"."columns"
SELECT * FROM temp.information_schema.tables
SELECT * FROM main.information_schema.tables
SELECT * FROM information_schema
SELECT * FROM information_schema.tables()
SELECT * FROM information_schema.duckdb_tables()
SELECT * FROM information_schema.pg_class
SELECT * FROM "information_schema.tables"
SELECT * FROM "information_schema ".tables
SELECT * FROM ınformation_schema.tables
SELECT * FROM information_schema.tables AT (VERSION => 1)
SELECT * FROM __trace_catalog___.tables
SELECT * FROM __trace_catalog___.here
SELECT * FROM "__TRACE_CATALOG___".columns
SELECT __trace_catalog___.columns.column_name FROM __trace_catalog___.columns
DESCRIBE __trace_catalog___.columns
SELECT * FROM pg_catalog.pg_namespace
SELECT * FROM pg_catalog.information_schema.tables
WITH information_schema AS (SELECT 1) SELECT * FROM information_schema.views
WITH tables AS (SELECT 1) SELECT * FROM information_schema.tables, pg_class
WITH information_schema AS (SELECT * FROM duckdb_columns()) SELECT * FROM information_schema
WITH "information_schema.views" AS (SELECT 1) SELECT * FROM information_schema.views
SELECT * FROM information_schema.columns WHERE data_type = getenv('HOME')
SELECT (SELECT count(*) FROM information_schema.tables), getenv('HOME')
SELECT * FROM information_schema.columns, duckdb_columns()
SELECT * FROM duckdb_approx_database_count()
SELECT * FROM pragma_show_tables()
SELECT * FROM pragma_show_tables_expanded()
SELECT current_schemas(false)
PRAGMA show_tables_expanded
PRAGMA show('blocks')
CREATE SCHEMA information_schema
CREATE VIEW information_schema.tables AS SELECT 1
DROP VIEW information_schema.tables
INSERT INTO information_schema.tables SELECT * FROM information_schema.tables
SELECT __u256_mul('1', '2')
SELECT "__u256_to_hex"('1', '2')
SELECT main.__u256_wei('1')
SELECT system.main.u256_mul(1, 2)
