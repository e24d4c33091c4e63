SELECT 1
SELECT 1;
SELECT count(*) FROM blocks
FROM blocks
FROM blocks SELECT hash LIMIT 3
TABLE blocks
VALUES (1, 'a'), (2, 'b')
SELECT * FROM (VALUES (1), (2)) AS t(a)
SELECT n, hash FROM blocks WHERE n BETWEEN 5 AND 10 ORDER BY n DESC NULLS LAST LIMIT 10 OFFSET 2
SELECT DISTINCT miner FROM blocks
SELECT DISTINCT ON (miner) miner, n FROM blocks ORDER BY miner, n
SELECT miner, count(*) AS c FROM blocks GROUP BY miner HAVING count(*) > 3
SELECT miner, big, count(*) FROM blocks GROUP BY ALL ORDER BY ALL
SELECT miner, count(*) FROM blocks GROUP BY ROLLUP (miner)
SELECT miner, big, count(*) FROM blocks GROUP BY GROUPING SETS ((miner), (big), ())
SELECT miner, big, count(*) FROM blocks GROUP BY CUBE (miner, big)
SELECT b.n, t.amount FROM blocks b JOIN transfers t ON b.n = t.n
SELECT * FROM blocks JOIN transfers USING (n)
SELECT * FROM blocks NATURAL JOIN transfers
SELECT * FROM blocks LEFT JOIN transfers USING (n)
SELECT * FROM blocks FULL OUTER JOIN transfers USING (n)
SELECT * FROM blocks SEMI JOIN transfers USING (n)
SELECT * FROM blocks ANTI JOIN transfers USING (n)
SELECT * FROM blocks CROSS JOIN transfers
SELECT * FROM blocks, transfers WHERE blocks.n = transfers.n
SELECT * FROM blocks ASOF JOIN transfers ON blocks.n >= transfers.n
SELECT * FROM blocks POSITIONAL JOIN transfers
SELECT * FROM blocks b, LATERAL (SELECT b.n + 1 AS m) AS l
SELECT n, sum(n) OVER (PARTITION BY miner ORDER BY n) FROM blocks
SELECT n, row_number() OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM blocks
SELECT n, lag(n) OVER w, lead(n, 2) OVER w FROM blocks WINDOW w AS (ORDER BY n)
SELECT n FROM blocks QUALIFY row_number() OVER (PARTITION BY miner ORDER BY n DESC) = 1
SELECT first_value(n) OVER (ORDER BY at_time RANGE BETWEEN INTERVAL 1 DAY PRECEDING AND CURRENT ROW) FROM blocks
SELECT count(*) FILTER (WHERE big) FROM blocks
SELECT string_agg(hash, ',' ORDER BY n) FROM blocks
SELECT array_agg(DISTINCT miner) FROM blocks
SELECT quantile_cont(n, 0.5), median(n), mode(miner) FROM blocks
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY n) FROM blocks
SELECT arg_max(hash, n), max_by(hash, n) FROM blocks
SELECT approx_count_distinct(miner) FROM blocks
WITH a AS (SELECT n FROM blocks) SELECT * FROM a
WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT * FROM a, b
WITH a AS MATERIALIZED (SELECT n FROM blocks) SELECT * FROM a JOIN a AS a2 USING (n)
WITH blocks AS (SELECT * FROM blocks) SELECT * FROM blocks
WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t WHERE i < 5) SELECT * FROM t
SELECT * FROM (WITH a AS (SELECT 1 AS x) SELECT x FROM a)
SELECT (SELECT max(n) FROM transfers WHERE transfers.n = blocks.n) FROM blocks
SELECT * FROM blocks WHERE n IN (SELECT n FROM transfers)
SELECT * FROM blocks WHERE n NOT IN (1, 2, 3)
SELECT * FROM blocks b WHERE EXISTS (SELECT 1 FROM transfers t WHERE t.n = b.n)
SELECT * FROM blocks WHERE n = ANY (SELECT n FROM transfers)
SELECT * FROM blocks WHERE n > ALL (SELECT n FROM transfers)
SELECT n FROM blocks UNION ALL SELECT n FROM transfers
SELECT n FROM blocks UNION SELECT n FROM transfers
SELECT n FROM blocks INTERSECT SELECT n FROM transfers
SELECT n FROM blocks EXCEPT SELECT n FROM transfers
SELECT n, hash FROM blocks UNION ALL BY NAME SELECT n, sender FROM transfers
(SELECT n FROM blocks LIMIT 1) UNION ALL (SELECT n FROM transfers LIMIT 1)
SELECT * EXCLUDE (hash) FROM blocks
SELECT * REPLACE (lower(hash) AS hash) FROM blocks
SELECT * RENAME (hash AS h) FROM blocks
SELECT COLUMNS('n|hash') FROM blocks
SELECT max(COLUMNS(*)) FROM blocks
SELECT COLUMNS(c -> c LIKE 'h%') FROM blocks
SELECT blocks.* FROM blocks
SELECT "n" AS "weird ""name""" FROM "blocks"
SELECT n AS x, x + 1 AS y FROM blocks
SELECT m: n FROM blocks
SELECT CASE WHEN big THEN 1 ELSE 2 END FROM blocks
SELECT CASE miner WHEN 'a' THEN 1 END FROM blocks
SELECT coalesce(miner, 'x'), nullif(n, 1), ifnull(miner, 'y'), greatest(n, 2), least(n, 2) FROM blocks
SELECT n::VARCHAR, CAST(n AS DOUBLE), TRY_CAST(hash AS INTEGER) FROM blocks
SELECT value::HUGEINT, value::DECIMAL(38, 0) FROM blocks
SELECT n::INTEGER[], [1, 2]::BIGINT[], [1, 2]::BIGINT[2] FROM blocks
SELECT {'a': 1, 'b': 'x'}::STRUCT(a BIGINT, b VARCHAR)
SELECT MAP {'a': 1}::MAP(VARCHAR, BIGINT)
SELECT '{"a": 1}'::JSON -> '$.a', '{"a": 1}'::JSON ->> 'a'
SELECT json_extract_string('{"a": {"b": 1}}', '$.a.b')
SELECT lower(hash), upper(hash), length(hash), substr(hash, 1, 4), hash[1:4], replace(hash, '0x', '') FROM blocks
SELECT hash.lower().substr(1, 4) FROM blocks
SELECT regexp_matches(hash, '^0x[0-9a-f]+$'), regexp_extract(hash, '0x(..)', 1), regexp_replace(hash, 'a', 'b') FROM blocks
SELECT hash LIKE '0x%', hash ILIKE '0X%', hash NOT LIKE 'a', hash GLOB '0x*', hash SIMILAR TO 'x', hash ~ 'y' FROM blocks
SELECT hash || 'x', concat(hash, n), concat_ws('-', hash, n), printf('%d', n), format('{}', n) FROM blocks
SELECT split_part(hash, 'x', 2), string_split(hash, 'x'), trim(hash), lpad(hash, 70, '0'), starts_with(hash, '0x') FROM blocks
SELECT md5(hash), sha256(hash), hash(n), hex(n), unhex('ab'), to_base64('x'::BLOB) FROM blocks
SELECT date_trunc('day', at_time), date_part('hour', at_time), extract(year FROM at_time) FROM blocks
SELECT at_time + INTERVAL 1 DAY, at_time - INTERVAL '2 hours', age(at_time), epoch(at_time) FROM blocks
SELECT at_time AT TIME ZONE 'Europe/Berlin', strftime(at_time, '%Y-%m-%d'), strptime('2026', '%Y') FROM blocks
SELECT time_bucket(INTERVAL 15 MINUTE, at_time), count(*) FROM blocks GROUP BY 1
SELECT DATE '2026-01-01', TIMESTAMP '2026-01-01 00:00:00', TIMESTAMPTZ '2026-01-01 00:00:00+00', current_date, now()
SELECT abs(n), round(n / 3, 2), n // 2, n % 3, n ** 2, sqrt(n), ln(n + 1), floor(1.5), xor(n, 1), n & 3, n | 4, n << 1 FROM blocks
SELECT -n, +n, NOT big, big AND n > 1 OR n < 0, n IS NULL, n IS NOT NULL, n IS DISTINCT FROM 3 FROM blocks
SELECT [n, n + 1], list_value(1, 2), list_transform([1, 2], lambda x: x + 1), list_filter([1, 2], lambda x: x > 1) FROM blocks
SELECT [x * 2 FOR x IN [1, 2, 3] IF x > 1]
SELECT list_sum([1, 2]), list_sort([2, 1]), list_contains([1], 1), len([1]), flatten([[1], [2]]), tags[1] FROM transfers
SELECT unnest(tags) FROM transfers
SELECT * FROM transfers, unnest(tags) AS u(tag)
SELECT * FROM unnest([1, 2, 3])
SELECT * FROM range(10)
SELECT * FROM generate_series(DATE '2026-01-01', DATE '2026-02-01', INTERVAL 1 DAY)
SELECT struct_pack(a := 1, b := 2), row(1, 2), {'a': 1}.a, {'a': 1}['a']
SELECT map_keys(MAP {'a': 1}), map([1], [2]), MAP {'a': 1}['a']
SELECT n FROM blocks USING SAMPLE 10 PERCENT
SELECT n FROM blocks TABLESAMPLE 10%
PIVOT blocks ON big IN (true, false) USING count(*)
UNPIVOT (SELECT n, n + 1 AS m FROM blocks) ON n, m INTO NAME k VALUE v
SELECT * FROM research.prices
SELECT p.price FROM blocks b ASOF JOIN research.prices p ON b.at_time::DATE >= p.day
SELECT typeof(n), pg_typeof(n) FROM blocks
SELECT hash COLLATE NOCASE FROM blocks ORDER BY hash COLLATE NOCASE
SELECT histogram(n), entropy(n), skewness(n), stddev(n), corr(n, n) FROM blocks
SELECT TRY(n / 0) FROM blocks
SELECT error('no') FROM blocks WHERE n < 0
SELECT 1 -- a comment; DROP TABLE blocks
SELECT /* ; */ 1
SELECT 'read_csv(''/etc/passwd'')', $$; DROP TABLE blocks$$
SELECT read_csv FROM (SELECT 1 AS read_csv)
FROM blocks SELECT n, hash WHERE n > 3 ORDER BY n LIMIT 5
FROM (SELECT n FROM blocks) AS sub(m) SELECT max(m)
SELECT n FROM blocks LIMIT 10 OFFSET 20
SELECT n FROM blocks ORDER BY n DESC NULLS LAST FETCH FIRST 3 ROWS ONLY
SELECT n FROM blocks ORDER BY 1, hash NULLS FIRST LIMIT 5%
SELECT DISTINCT miner FROM blocks ORDER BY miner
SELECT count(DISTINCT miner), count(*), sum(n), avg(n), min(hash), max(hash) FROM blocks
SELECT any_value(miner), first(hash ORDER BY n), last(hash ORDER BY n), list(n) FROM blocks
SELECT bool_and(big), bool_or(big), bit_xor(n), product(n) FROM blocks
SELECT var_pop(n), var_samp(n), stddev_pop(n), covar_pop(n, n), regr_slope(n, n), kurtosis(n) FROM blocks
SELECT approx_quantile(n, 0.9), quantile_disc(n, [0.1, 0.9]), mad(n) FROM blocks
SELECT arg_min(hash, n, 3), max(n, 2), min(n, 2) FROM blocks
SELECT miner, grouping(miner), count(*) FROM blocks GROUP BY CUBE (miner)
SELECT miner FROM blocks GROUP BY miner HAVING sum(n) > avg(n) ORDER BY count(*) DESC
SELECT date_trunc('month', at_time) AS month, count(*) FROM blocks GROUP BY month ORDER BY month
SELECT b1.n FROM blocks AS b1 INNER JOIN blocks AS b2 ON b1.n = b2.n + 1
SELECT * FROM blocks RIGHT JOIN transfers ON blocks.n = transfers.n
SELECT * FROM blocks b JOIN transfers t ON b.n = t.n AND t.amount <> '0' JOIN research.prices p ON p.day = b.at_time::DATE
SELECT * FROM blocks ASOF LEFT JOIN transfers USING (n)
SELECT b.n, t.total FROM blocks b LEFT JOIN LATERAL (SELECT count(*) AS total FROM transfers WHERE transfers.n = b.n) t ON true
SELECT * FROM blocks b JOIN (VALUES (1, 'a'), (2, 'b')) v(n, label) ON b.n = v.n
SELECT * FROM (VALUES (1, 'x'), (2, NULL)) AS v(a, b)
SELECT rank() OVER (ORDER BY n), dense_rank() OVER (ORDER BY n), percent_rank() OVER (ORDER BY n), cume_dist() OVER (ORDER BY n) FROM blocks
SELECT ntile(4) OVER (ORDER BY n), nth_value(n, 2) OVER (ORDER BY n), last_value(n) OVER (ORDER BY n) FROM blocks
SELECT avg(n) OVER (ORDER BY at_time RANGE BETWEEN INTERVAL 7 DAYS PRECEDING AND INTERVAL 7 DAYS FOLLOWING) FROM blocks
SELECT sum(n) OVER (ORDER BY n GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE CURRENT ROW) FROM blocks
SELECT sum(n) FILTER (WHERE big) OVER (PARTITION BY miner) FROM blocks
SELECT lag(n, 1, 0) OVER (PARTITION BY miner ORDER BY n), n - lag(n) OVER (ORDER BY n) AS step FROM blocks
SELECT count(*) OVER () FROM blocks WINDOW unused AS (ORDER BY n)
SELECT last_value(miner IGNORE NULLS) OVER (ORDER BY n) FROM blocks
SELECT sum(DISTINCT n) OVER (ORDER BY n) FROM blocks
SELECT first_value(hash ORDER BY n DESC) OVER (PARTITION BY miner) FROM blocks
WITH per_day(day, c) AS (SELECT at_time::DATE, count(*) FROM blocks GROUP BY 1) SELECT day, c, sum(c) OVER (ORDER BY day) FROM per_day
WITH RECURSIVE chain(n, depth) AS (SELECT max(n), 0 FROM blocks UNION ALL SELECT b.n, depth + 1 FROM chain c JOIN blocks b ON b.n = c.n - 1 WHERE depth < 10) SELECT * FROM chain
WITH RECURSIVE t AS (SELECT 1 AS i UNION SELECT i % 3 + 1 FROM t) SELECT count(*) FROM t
WITH a AS NOT MATERIALIZED (SELECT n FROM blocks), b AS (SELECT n FROM a WHERE n > 1) SELECT * FROM b ANTI JOIN a USING (n)
WITH outermost AS (WITH inner_one AS (SELECT n FROM blocks) SELECT * FROM inner_one) SELECT * FROM outermost
WITH a AS (FROM blocks SELECT n) FROM a
SELECT n, (SELECT count(*) FROM transfers t WHERE t.n <= b.n) FROM blocks b
SELECT ARRAY(SELECT n FROM blocks ORDER BY n)
SELECT * FROM blocks WHERE (n, hash) IN (SELECT n, sender FROM transfers)
SELECT * FROM blocks WHERE (n, big) = (1, true)
SELECT * FROM blocks WHERE n NOT BETWEEN 1 AND 2 AND hash IS NOT NULL AND NOT (big OR n = 3)
SELECT * FROM blocks WHERE n IN [1, 2, 3]
SELECT * FROM blocks WHERE big IS TRUE OR big IS NOT FALSE
SELECT * FROM blocks WHERE hash IN ('0x1', '0x2') AND miner IS NOT DISTINCT FROM NULL
SELECT n FROM blocks EXCEPT ALL SELECT n FROM transfers
SELECT n FROM blocks INTERSECT ALL SELECT n FROM transfers ORDER BY n LIMIT 3
SELECT * FROM (SELECT 1 AS a UNION ALL BY NAME SELECT 2 AS b)
SELECT blocks.* EXCLUDE (hash, value), t.sender FROM blocks JOIN transfers t USING (n)
SELECT COLUMNS(* EXCLUDE (n)) FROM blocks
SELECT COLUMNS(['n', 'hash']) FROM blocks
SELECT min(COLUMNS('^n$')), max(COLUMNS('^n$')) FROM blocks
SELECT * LIKE 'h%' FROM blocks
SELECT * FROM blocks WHERE COLUMNS(*) IS NOT NULL
SELECT coalesce(*COLUMNS(['hash', 'miner'])) FROM blocks
SELECT struct_pack(*COLUMNS(['n'])) FROM blocks
SELECT blocks FROM blocks
SELECT b.n, b['hash'] FROM blocks b
SELECT #1, #2 FROM blocks
SELECT n AS k, count(*) FROM blocks GROUP BY k HAVING k > 1
SELECT x.a.b FROM (SELECT {'a': {'b': 1}} AS x)
SELECT s.* FROM (SELECT {'a': 1, 'b': 2} AS s)
SELECT unnest({'a': 1, 'b': {'c': 2}}, recursive := true)
SELECT unnest([1, 2]) AS i, unnest(['a', 'b']) AS t
SELECT unnest([[1, 2], [3]], max_depth := 2)
SELECT * FROM transfers t, unnest(t.tags) WITH ORDINALITY AS u(tag, place)
SELECT t.n, tag FROM transfers t CROSS JOIN unnest(t.tags) AS u(tag) WHERE tag <> ''
SELECT list_slice([1, 2, 3], 1, 2), [1, 2, 3][-1], [1, 2, 3][1:2], [1, 2, 3][:-1:2]
SELECT list_concat([1], [2]), list_append([1], 2), list_prepend(0, [1]), list_distinct([1, 1]), list_unique([1, 1])
SELECT list_aggregate([1, 2], 'sum'), list_max([1]), list_min([1]), list_avg([1, 2]), list_position([1], 1)
SELECT list_zip([1], ['a']), list_reverse([1, 2]), list_any_value([NULL, 1]), list_has_all([1, 2], [1]), list_has_any([1], [2])
SELECT list_reduce([1, 2, 3], lambda a, b: a + b), array_length([1, 2]), cardinality(MAP {'a': 1})
SELECT [(a, b) FOR a, b IN [1, 2]]
SELECT list_transform([1, 2], lambda x, i: x * i)
SELECT array_value(1, 2, 3), array_distance([1.0, 2.0]::FLOAT[2], [0.0, 1.0]::FLOAT[2]), array_cosine_similarity([1.0]::FLOAT[1], [1.0]::FLOAT[1])
SELECT map_from_entries([{'k': 'a', 'v': 1}]), map_entries(MAP {'a': 1}), map_values(MAP {'a': 1}), map_extract(MAP {'a': 1}, 'a'), map_contains(MAP {'a': 1}, 'a')
SELECT struct_extract({'a': 1}, 'a'), struct_insert({'a': 1}, b := 2)
SELECT union_value(k := 1), union_tag(union_value(k := 1))
SELECT json_object('a', 1), json_array(1, 2), to_json({'a': 1}), json_keys('{"a": 1}'), json_type('[1]'), json_array_length('[1]'), json_valid('{')
SELECT json_group_array(n), json_group_object(hash, n) FROM blocks
SELECT from_json('{"a": 1}', '{"a": "BIGINT"}'), json_transform('[1]', '["INTEGER"]')
SELECT value -> 'a' ->> 'b', json_extract(value, ['$.a', '$.b']) FROM blocks
SELECT left(hash, 2), right(hash, 2), repeat('ab', 3), reverse(hash), position('a' IN hash), strpos(hash, 'a'), translate(hash, 'a', 'b') FROM blocks
SELECT regexp_extract_all(hash, 'a'), regexp_split_to_array(hash, 'x'), regexp_full_match(hash, '.*'), regexp_extract(hash, '(?P<a>.)(.)', ['x', 'y']) FROM blocks
SELECT levenshtein(hash, miner), jaccard(hash, miner), hamming('ab', 'ac'), editdist3('a', 'b'), damerau_levenshtein('ab', 'ba') FROM blocks
SELECT hash ^@ '0x', hash !~~ 'y%', hash NOT SIMILAR TO 'z', contains(hash, 'a'), suffix(hash, 'f'), prefix(hash, '0') FROM blocks
SELECT ascii('a'), chr(97), ord('a'), unicode('a'), bit_length('a'), octet_length('a'::BLOB), strlen(hash) FROM blocks
SELECT url_encode('a b'), url_decode('a%20b'), strip_accents('é'), nfc_normalize('é'), to_hex(n), bin(n), from_hex('ff') FROM blocks
SELECT encode('a'), decode('a'::BLOB), from_base64('YQ=='), base64('a'::BLOB), md5_number('a'), sha1('a') FROM blocks
SELECT format('{:,}', n), format('{:.2f}', 1.5), format_bytes(n), formatReadableSize(n), bar(n, 0, 100) FROM blocks
SELECT year(at_time), month(at_time), day(at_time), hour(at_time), minute(at_time), second(at_time), dayofweek(at_time), week(at_time), quarter(at_time) FROM blocks
SELECT date_diff('day', at_time, at_time), date_sub('hour', at_time, at_time), datediff('minute', at_time, at_time), date_add(at_time::TIMESTAMP, INTERVAL 1 DAY) FROM blocks
SELECT make_date(2026, 1, 31), make_timestamp(2026, 1, 31, 0, 0, 0), make_time(1, 2, 3), to_timestamp(1), epoch_ms(1), epoch_ms(at_time) FROM blocks
SELECT to_days(1), to_hours(2), to_minutes(3), INTERVAL '1 month' * 2, INTERVAL (n) SECONDS FROM blocks
SELECT last_day(at_time), monthname(at_time), dayname(at_time), isodow(at_time), yearweek(at_time), julian(at_time) FROM blocks
SELECT at_time > TIMESTAMP '2026-01-01', at_time::DATE = DATE '2026-01-01', at_time::TIME, at_time BETWEEN now() - INTERVAL 1 DAY AND now() FROM blocks
SELECT EXTRACT(epoch FROM at_time), date_part(['year', 'month'], at_time) FROM blocks
SELECT range(DATE '2026-01-01', DATE '2026-01-03', INTERVAL 1 DAY), generate_series(1, 10, 3)
SELECT ceil(1.2), floor(1.2), trunc(1.9), sign(n), gcd(n, 2), lcm(n, 2), factorial(5), cbrt(n), exp(1), log(10), log2(8), log10(n + 1) FROM blocks
SELECT pi(), sin(n), cos(n), tan(n), atan2(n, 1), degrees(n), radians(n), even(n), isnan(n::DOUBLE), isfinite(1.0), bit_count(n) FROM blocks
SELECT round(value::DOUBLE / 1e18, 6), value::DECIMAL(38, 18), value::UHUGEINT, TRY_CAST(value AS HUGEINT) FROM blocks
SELECT 0xff, 1_000_000, 1e3, .5, E'a\n', $$raw$$, $tag$raw$tag$, X'ab', b'01'::BIT
SELECT 1 = 1.0, 1 <> 2, 1 != 2, 1 == 1, 1 <= 2, NOT 1 > 2, 7 // 2, 7 % 2, 2 ^ 3, ~1, 1 << 2, 8 >> 1, 5!
SELECT if(big, 1, 0), iff, CASE WHEN n > 1 THEN 'a' WHEN n > 2 THEN 'b' ELSE 'c' END FROM (SELECT *, 1 AS iff FROM blocks)
SELECT hash, n FROM blocks WHERE hash = lower('0xAB') OR hash GLOB '0x*' ORDER BY lower(hash), n DESC
SELECT least(n, 1, 2), greatest(n, NULL), nullif(miner, ''), coalesce(NULL, miner) FROM blocks
SELECT hash(n, hash), md5(hash || n), sha256(hash::BLOB), uuid(), gen_random_uuid(), random() FROM blocks
PIVOT (SELECT miner, big, n FROM blocks) ON big IN (true, false) USING sum(n) AS total, count(*) AS c GROUP BY miner
SELECT * FROM (PIVOT blocks ON big IN (true, false) USING max(n) GROUP BY miner)
UNPIVOT (SELECT 1 AS jan, 2 AS feb) ON COLUMNS(*) INTO NAME month VALUE sales
SELECT * FROM (SELECT 1 AS jan, 2 AS feb) UNPIVOT (sales FOR month IN (jan, feb))
SELECT * FROM blocks USING SAMPLE reservoir(50 ROWS) REPEATABLE (7)
SELECT * FROM (SELECT n FROM blocks) TABLESAMPLE bernoulli(5 PERCENT)
SELECT n FROM research.prices AS p, blocks WHERE p.price > n
SELECT "n" FROM "blocks" AS "B" WHERE "B"."n" = 1
select N, HASH from BLOCKS where Big
SELECT n FROM blocks -- a remark
SELECT	n	FROM	blocks
SELECT n FROM blocks;
SELECT n::TEXT COLLATE NOACCENT, hash < 'z' COLLATE NOCASE FROM blocks
SELECT {'n': n, 'when': at_time} AS record, [n, NULL] AS pair, MAP {hash: n} AS by_hash FROM blocks
SELECT max_by({'h': hash, 'n': n}, n).h FROM blocks
SELECT x FROM (SELECT unnest(list_sort(tags, 'DESC')) AS x, n FROM transfers) QUALIFY row_number() OVER (PARTITION BY n) <= 3
SELECT map_from_entries(list((miner, n))) FROM blocks
SELECT current_date - DATE '2020-01-01', current_timestamp, today(), get_current_timestamp()
SELECT substring(hash FROM 1 FOR 3), trim(BOTH 'x' FROM hash), ltrim(hash), rtrim(hash) FROM blocks
SHOW TABLES
show tables;
SHOW ALL TABLES
SHOW TABLES FROM research
SHOW TABLES FROM "it's"
DESCRIBE
DESCRIBE blocks
DESC blocks
SHOW blocks
DESCRIBE TABLE research.prices
DESCRIBE "blocks"
DESCRIBE SELECT * FROM blocks
DESCRIBE SELECT n + 1 AS next, hash FROM blocks WHERE n > 1
DESCRIBE FROM blocks SELECT max(n)
DESCRIBE WITH x AS (SELECT n FROM blocks) SELECT * FROM x
DESCRIBE VALUES (1, 'x')
DESCRIBE information_schema.columns
SUMMARIZE blocks
SUMMARIZE research.prices
SUMMARIZE SELECT n, hash FROM blocks WHERE n > 1
SUMMARIZE information_schema.columns
SELECT * FROM (DESCRIBE blocks)
SELECT column_name FROM (DESCRIBE SELECT * FROM transfers) WHERE column_type = 'VARCHAR'
SELECT column_name, null_percentage FROM (SUMMARIZE blocks) ORDER BY ALL
SELECT a.column_name FROM (DESCRIBE blocks) a JOIN (DESCRIBE transfers) b USING (column_name)
SELECT * FROM information_schema.tables
SELECT * FROM information_schema.columns
SELECT * FROM information_schema.schemata
SELECT * FROM "information_schema"."tables"
SELECT * FROM INFORMATION_SCHEMA.TABLES
FROM Information_Schema."Columns" SELECT column_name
SELECT * FROM information_schema . /* here */ tables
SELECT table_name, count(*) FROM information_schema.columns GROUP BY ALL HAVING count(*) > 3 ORDER BY ALL
SELECT t.table_name, t.storage, c.column_name, c.trace_type FROM information_schema.tables t JOIN information_schema.columns c USING (table_schema, table_name)
SELECT information_schema.columns.column_name FROM information_schema.columns WHERE "information_schema"."columns"."data_type" = 'BIGINT'
SELECT CASE information_schema.columns.data_type WHEN 'BIGINT' THEN 1 WHEN 'VARCHAR' THEN 2 END FROM information_schema.columns
SELECT tables.table_name FROM information_schema.tables
SELECT max(n), (SELECT count(*) FROM information_schema.columns WHERE table_name = 'blocks') FROM blocks
WITH information_schema AS (SELECT 1 AS x) SELECT information_schema.x FROM information_schema
WITH tables AS (SELECT 1 AS table_name) SELECT * FROM tables
WITH c AS (SELECT * FROM information_schema.columns) SELECT column_name FROM c WHERE is_scope_column
SELECT 'éé', information_schema.tables.table_name FROM information_schema.tables
SELECT n AS information_schema FROM blocks
SELECT u256_mul(n, value), u256_div(value, 3), u256_mod(value, 7), u256_pow(2, 200) FROM blocks
SELECT u256_from_hex(hash), u256_to_hex(value), u256_to_hex(value, 64), int256(value) FROM blocks
SELECT ether(value), gwei(value) FROM blocks WHERE value > wei('1.5 ether')
SELECT sum(value), max(value) FROM blocks WHERE value BETWEEN 1 AND 115792089237316195423570985008687907853269984665640564039457584007913129639935
