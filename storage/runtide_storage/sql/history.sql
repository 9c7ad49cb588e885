-- Statements of history.py. {curves} is a condition on run and key, {source} the points of sources.py.
-- {attempt}: what tells the curves of one run apart, if they are to be.
-- place: the order of points of one curve: (step, ts, seq, writer).

-- extents --
SELECT run, key, sum(t.n) AS n, {places}
FROM tiers AS t FINAL
WHERE {curves} AND t.n > 0 AND {window}
GROUP BY run, key

-- few_tiers --
SELECT run, key, bucket, first_step, last_step, n, nonfinite, sum, min, max, last
FROM tiers AS t FINAL
WHERE {curves} AND t.n > 0 AND {window}
ORDER BY run, key, bucket
LIMIT {rows}

-- at_once --
SELECT run, key, attempt AS of_attempt, step AS x, value
FROM points FINAL
WHERE {curves}
ORDER BY run, key, attempt, step, ts, seq, writer
LIMIT {rows}

-- ranges --
SELECT run, minIf(t.min, t.n > t.nonfinite) AS lo, maxIf(t.max, t.n > t.nonfinite) AS hi
FROM tiers AS t FINAL WHERE {curves} AND t.n > 0 GROUP BY run

-- by_metric --
(
    SELECT p.run AS run, p.key AS key, p.step AS step, p.ts AS ts, p.value AS value, p.attempt AS attempt,
        p.writer AS writer, p.seq AS seq, a.value AS at
    FROM {source} AS p
    INNER JOIN (SELECT run, writer, seq, value FROM points FINAL WHERE {axis}) AS a
        ON p.run = a.run AND p.writer = a.writer AND p.seq = a.seq
    WHERE isFinite(a.value)
)

-- full --
WITH
    (step, ts, seq, writer) AS place
SELECT run, key, {attempt} AS of_attempt, {x} AS x, value{more}
FROM {source} AS p
WHERE {window}
ORDER BY run, key, of_attempt, {x}, place

-- buckets --
WITH
    bitShiftLeft(toUInt256(bitXor(reinterpretAsUInt64(step), 0x8000000000000000)), 192)
        + bitShiftLeft(toUInt256(toUnixTimestamp64Milli(ts)), 128) + bitShiftLeft(toUInt256(seq), 64) + writer AS place,
    isFinite(value) AS finite
SELECT run, key, {attempt} AS of_attempt, {x_of_bucket} AS x, max(p.step) AS at_step,
    if(n > nonfinite, sumKahanIf(value, finite) / (n - nonfinite), last) AS mean,
    if(n > nonfinite, minIf(value, finite), last) AS min,
    if(n > nonfinite, maxIf(value, finite), last) AS max,
    argMax(value, place) AS last, count() AS n, countIf(NOT finite) AS nonfinite
FROM {source} AS p
WHERE {window}
GROUP BY run, key, of_attempt, {bucket} AS bucket
ORDER BY run, key, of_attempt, bucket

-- means --
-- Of buckets no more than a band needs.
SELECT run, {x_of_bucket} AS x, if(n > nonfinite, sumKahanIf(value, isFinite(value)) / (n - nonfinite), nan) AS mean,
    count() AS n, countIf(NOT isFinite(value)) AS nonfinite
FROM {source} AS p
WHERE {window}
GROUP BY run, {bucket} AS bucket

-- tiers --
SELECT run, key, toUInt16(0) AS of_attempt, {x_of_tiers} AS x, max(t.last_step) AS at_step,
    if(n > nonfinite, sumKahan(t.sum) / (n - nonfinite), last) AS mean,
    if(n > nonfinite, minIf(t.min, t.n > t.nonfinite), last) AS min,
    if(n > nonfinite, maxIf(t.max, t.n > t.nonfinite), last) AS max,
    argMax(t.last, t.bucket) AS last, sum(t.n) AS n, sum(t.nonfinite) AS nonfinite
FROM tiers AS t FINAL
WHERE {curves} AND t.n > 0 AND {window}
GROUP BY run, key, {bucket_of_tiers} AS group_of
ORDER BY run, key, group_of
