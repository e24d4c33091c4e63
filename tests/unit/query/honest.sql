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
