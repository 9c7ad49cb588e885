-- Statements of compare.py. {runs}: integers.

-- summaries --
SELECT key, project, run_id, run, metric, goal, n, nonfinite, first, first_step, last, last_step, min, min_step, max, max_step,
    mean, best, best_step
FROM keyed_summaries WHERE key IN ({runs}) AND ({{all:Bool}} OR metric IN {{metrics:Array(String)}})
ORDER BY metric, project, run_id

-- repeated --
-- Two runs' points against each other, bit by bit: of each metric how many each has, how many are the same, the first
-- step where they are not, and the largest relative difference where both have as many.
SELECT m.name AS metric, sum(length(of_a)) AS n_a, sum(length(of_b)) AS n_b, sumIf(length(of_a), is_same) AS n_same,
    minIf(toNullable(step), NOT is_same) AS first_step, max(relative) AS relative
FROM (
    SELECT key, step, arraySort(groupArrayIf((ts, writer, seq, value), run = {a:UInt64})) AS a,
        arraySort(groupArrayIf((ts, writer, seq, value), run = {b:UInt64})) AS b,
        arrayMap(each -> each.4, a) AS of_a, arrayMap(each -> each.4, b) AS of_b,
        arrayMap(each -> reinterpretAsUInt64(each), of_a) = arrayMap(each -> reinterpretAsUInt64(each), of_b) AS is_same,
        if(is_same OR length(of_a) != length(of_b), 0.,
            arrayMax(arrayMap((x, y) -> abs(x - y) / greatest(abs(x), abs(y), 1e-300), of_a, of_b))) AS relative
    FROM current_points WHERE run IN ({a:UInt64}, {b:UInt64})
    GROUP BY key, step
) AS steps
INNER JOIN metrics AS m FINAL ON steps.key = m.id
WHERE NOT startsWith(m.name, 'system/')
GROUP BY m.name
ORDER BY m.name
