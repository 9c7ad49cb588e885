-- Statements of sources.py: the points of curves as subqueries. {curves} is a condition on run and key, made of integers.

-- several_attempts --
SELECT run FROM writers WHERE run IN ({runs}) GROUP BY run HAVING uniqExact(attempt) > 1

-- all_attempts --
(SELECT run, key, step, ts, value, attempt, writer, seq FROM points FINAL WHERE {curves})

-- latest_attempt --
-- Where attempts begin is taken from the points themselves here: exact even when the tiers are a moment behind.
(
    SELECT p.run AS run, p.key AS key, p.step AS step, p.ts AS ts, p.value AS value, p.attempt AS attempt,
        p.writer AS writer, p.seq AS seq
    FROM (SELECT * FROM points FINAL WHERE {curves}) AS p
    ASOF LEFT JOIN (
        SELECT run, key, attempt AS later, min(starts_at) OVER (
            PARTITION BY run, key ORDER BY attempt ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS superseded_from
        FROM (SELECT run, key, attempt, min(step) AS starts_at FROM points WHERE {curves} GROUP BY run, key, attempt)
    ) AS l ON p.run = l.run AND p.key = l.key AND p.attempt < l.later
    WHERE l.later = 0 OR p.step < l.superseded_from
)

-- latest_of_few --
-- The same for curves of which all points are read and are few: no join to plan, but every point is sorted by attempt.
(
    SELECT run, key, step, ts, value, attempt, writer, seq
    FROM (
        SELECT *, min(toNullable(step)) OVER (
            PARTITION BY run, key ORDER BY attempt RANGE BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS superseded_from
        FROM points FINAL WHERE {curves}
    )
    WHERE superseded_from IS NULL OR step < superseded_from
)
