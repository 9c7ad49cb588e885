-- Statements of rollup.py. {ranges} and {runs} are put in by it: conditions made of integers.
--
-- Aggregates compare packed integers, not tuples: ten times faster on 10 M points (docs/decisions/0003).
-- place: orders the points of a bucket by (step, ts, seq, writer); seq below 2^40, the last 24 bits of the writer.
-- rank:  orders finite doubles as they compare, 0.0 and -0.0 being the same.

-- tiers --
INSERT INTO tiers (run, key, bucket, n, nonfinite, sum, min, min_step, max, max_step, first, first_step, last, last_step,
                   first_ts, last_ts, stored, version)
SELECT
    run, key, bucket, n, nonfinite, sum,
    if(n > nonfinite, {unrank_lowest}, nan) AS min,
    if(n > nonfinite, bitShiftLeft(bucket, 10) + toInt64(bitAnd(lowest, 1023)), 0) AS min_step,
    if(n > nonfinite, {unrank_highest}, nan) AS max,
    if(n > nonfinite, bitShiftLeft(bucket, 10) + 1023 - toInt64(bitAnd(highest, 1023)), 0) AS max_step,
    first, first_step, last, last_step, first_ts, last_ts, stored,
    toUnixTimestamp64Nano(now64(9)) AS version
FROM (
    WITH
        if(reinterpretAsInt64(value + 0.0) < 0, bitNot(reinterpretAsUInt64(value + 0.0)),
           bitXor(reinterpretAsUInt64(value + 0.0), 0x8000000000000000)) AS rank,
        toUInt64(bitAnd(step, 1023)) AS offset,
        bitShiftLeft(toUInt128(rank), 64) + offset AS low,
        bitShiftLeft(toUInt128(rank), 64) + toUInt64(1023 - offset) AS high,
        bitShiftLeft(toUInt128(bitShiftLeft(offset, 44) + toUInt64(toUnixTimestamp64Milli(ts))), 64)
            + bitShiftLeft(seq, 24) + bitAnd(writer, 0xFFFFFF) AS place,
        isFinite(value) AS finite,
        {current} AS current
    SELECT
        run, key, bitShiftRight(step, 10) AS bucket,
        countIf(current) AS n,
        countIf(current AND NOT finite) AS nonfinite,
        sumIf(value, current AND finite) AS sum,
        minIf(low, current AND finite) AS lowest,
        maxIf(high, current AND finite) AS highest,
        argMinIf(value, place, current) AS first,
        minIf(step, current) AS first_step,
        argMaxIf(value, place, current) AS last,
        maxIf(step, current) AS last_step,
        minIf(ts, current) AS first_ts,
        maxIf(ts, current) AS last_ts,
        count() AS stored
    FROM points FINAL
    {limits}
    WHERE {ranges}
    GROUP BY run, key, bucket
)

-- several_attempts --
SELECT run FROM writers WHERE run IN ({runs}) GROUP BY run HAVING uniqExact(attempt) > 1

-- starts_in_range --
SELECT run, key, attempt, min(step) AS first_step FROM points FINAL WHERE {ranges} GROUP BY run, key, attempt

-- known_starts --
SELECT run, key, attempt, min(first_step) AS first_step FROM attempt_starts WHERE run IN ({runs})
GROUP BY run, key, attempt

-- lowered --
SELECT run, min(now.first_step) AS first_step, toBool(run NOT IN (SELECT run FROM attempt_starts)) AS is_first
FROM ({starts_in_range}) AS now
LEFT JOIN ({known_starts}) AS known USING (run, key, attempt)
WHERE known.first_step IS NULL OR now.first_step < known.first_step
GROUP BY run
SETTINGS join_use_nulls = 1

-- limits --
ASOF LEFT JOIN (
    -- Per attempt: the first step of it or of any later one. ASOF finds the nearest later attempt of each point.
    SELECT run, key, attempt AS later, min(first_step) OVER (
        PARTITION BY run, key ORDER BY attempt ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS superseded_from
    FROM (
        SELECT run, key, attempt, min(first_step) AS first_step
        FROM (({known_starts}) UNION ALL ({starts_in_range}))
        GROUP BY run, key, attempt
    )
) AS limits ON points.run = limits.run AND points.key = limits.key AND points.attempt < limits.later

-- save_starts --
INSERT INTO attempt_starts (run, key, attempt, first_step) {starts_in_range}

-- stale --
SELECT recent.run
FROM (
    SELECT run FROM ingest_progress
    WHERE stored_at >= (SELECT max(stored_at) FROM ingest_progress) - toIntervalSecond({{window_s:UInt32}})
    GROUP BY run
) AS recent
LEFT JOIN (SELECT run, count() AS n FROM points GROUP BY run) AS raw USING (run)
LEFT JOIN (SELECT run, sum(stored) AS n FROM tiers FINAL GROUP BY run) AS rolled USING (run)
WHERE raw.n != rolled.n
