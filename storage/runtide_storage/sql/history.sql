-- Statements of history.py. {curves} is a list of (run, key) integers, {source} one of the sources below.
-- place: the order of points of one curve: (step, ts, seq, writer).

-- extents --
SELECT run, key, sum(t.n) AS n, min(t.first_step) AS lo_step, max(t.last_step) AS hi_step,
    toUnixTimestamp64Milli(min(t.first_ts)) AS lo_ts, toUnixTimestamp64Milli(max(t.last_ts)) AS hi_ts,
    minIf(t.min, t.n > t.nonfinite) AS lo_value, maxIf(t.max, t.n > t.nonfinite) AS hi_value
FROM tiers AS t FINAL
WHERE (run, key) IN ({curves}) AND t.n > 0 AND {window}
GROUP BY run, key

-- points_latest --
(SELECT run, key, step, ts, value, toUInt16(0) AS attempt, writer, seq FROM points FINAL WHERE (run, key) IN ({curves}))

-- several_attempts --
SELECT run FROM writers WHERE run IN ({runs}) GROUP BY run HAVING uniqExact(attempt) > 1 LIMIT 1

-- points_of_attempts --
-- Where attempts begin is taken from the points themselves here: exact even when the tiers are a moment behind.
(
    SELECT p.run AS run, p.key AS key, p.step AS step, p.ts AS ts, p.value AS value, toUInt16(0) AS attempt,
        p.writer AS writer, p.seq AS seq
    FROM (SELECT * FROM points FINAL WHERE (run, key) IN ({curves})) AS p
    ASOF LEFT JOIN (
        SELECT run, key, attempt AS later, min(starts_at) OVER (
            PARTITION BY run, key ORDER BY attempt ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS superseded_from
        FROM (
            SELECT run, key, attempt, min(step) AS starts_at FROM points WHERE (run, key) IN ({curves})
            GROUP BY run, key, attempt
        )
    ) AS l ON p.run = l.run AND p.key = l.key AND p.attempt < l.later
    WHERE l.later = 0 OR p.step < l.superseded_from
)

-- points_all --
(SELECT run, key, step, ts, value, attempt, writer, seq FROM points FINAL WHERE (run, key) IN ({curves}))

-- by_metric --
(
    SELECT p.run AS run, p.key AS key, p.step AS step, p.ts AS ts, p.value AS value, p.attempt AS attempt,
        p.writer AS writer, p.seq AS seq, a.value AS at
    FROM {source} AS p
    INNER JOIN (SELECT run, writer, seq, value FROM points FINAL WHERE (run, key) IN ({axis})) AS a
        ON p.run = a.run AND p.writer = a.writer AND p.seq = a.seq
    WHERE isFinite(a.value)
)

-- full --
WITH
    (step, ts, seq, writer) AS place
SELECT run, key, attempt, {x} AS x, step AS at_step, value AS mean, value AS min, value AS max, value AS last, toUInt64(1) AS n,
    toUInt64(NOT isFinite(value)) AS nonfinite
FROM {source} AS p
WHERE {window}
ORDER BY run, key, attempt, {x}, place

-- buckets --
WITH
    bitShiftLeft(toUInt256(bitXor(reinterpretAsUInt64(step), 0x8000000000000000)), 192)
        + bitShiftLeft(toUInt256(toUnixTimestamp64Milli(ts)), 128) + bitShiftLeft(toUInt256(seq), 64) + writer AS place,
    isFinite(value) AS finite
SELECT run, key, attempt, {x_of_bucket} AS x, max(p.step) AS at_step,
    if(n > nonfinite, sumKahanIf(value, finite) / (n - nonfinite), last) AS mean,
    if(n > nonfinite, minIf(value, finite), last) AS min,
    if(n > nonfinite, maxIf(value, finite), last) AS max,
    argMax(value, place) AS last, count() AS n, countIf(NOT finite) AS nonfinite
FROM {source} AS p
WHERE {window}
GROUP BY run, key, attempt, {bucket} AS bucket
ORDER BY run, key, attempt, bucket

-- tiers --
SELECT run, key, toUInt16(0) AS attempt, {x_of_tiers} AS x, max(t.last_step) AS at_step,
    if(n > nonfinite, sumKahan(t.sum) / (n - nonfinite), last) AS mean,
    if(n > nonfinite, minIf(t.min, t.n > t.nonfinite), last) AS min,
    if(n > nonfinite, maxIf(t.max, t.n > t.nonfinite), last) AS max,
    argMax(t.last, t.bucket) AS last, sum(t.n) AS n, sum(t.nonfinite) AS nonfinite
FROM tiers AS t FINAL
WHERE (run, key) IN ({curves}) AND t.n > 0 AND {window}
GROUP BY run, key, {bucket_of_tiers} AS group_of
ORDER BY run, key, group_of
