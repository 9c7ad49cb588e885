-- Statements of client.py.

-- values --
SELECT toString(section) AS section, name, value, number, fromUnixTimestamp64Nano(toInt64(v.ts), 'UTC') AS ts
FROM run_values AS v FINAL WHERE run = {run:UInt64} AND value != 'null' ORDER BY section, name

-- events --
SELECT e.ts AS ts, e.attempt AS attempt, w.`rank` AS rank, w.writer_id AS writer, e.seq AS seq, e.kind AS kind, e.body AS body
FROM run_events AS e FINAL
LEFT JOIN (SELECT writer, `rank`, writer_id FROM writers FINAL WHERE run = {run:UInt64}) AS w ON e.writer = w.writer
WHERE e.run = {run:UInt64} ORDER BY ts, writer, seq

-- metrics --
-- pattern: of LIKE, empty for all.
SELECT m.name AS metric, t.runs AS runs, t.n AS n, t.first_step AS first_step, t.last_step AS last_step
FROM (
    SELECT key, uniqExact(run) AS runs, sum(n) AS n, min(tiers.first_step) AS first_step, max(tiers.last_step) AS last_step
    FROM tiers FINAL
    WHERE run IN (SELECT run FROM runs FINAL WHERE run = {run:UInt64} OR ({run:UInt64} = 0 AND project = {project:String}))
        AND tiers.n > 0
    GROUP BY key
) AS t
INNER JOIN (SELECT id, name FROM metrics FINAL WHERE {pattern:String} = '' OR name ILIKE {pattern:String}) AS m ON t.key = m.id
ORDER BY startsWith(metric, 'system/'), runs DESC, metric LIMIT {limit:UInt64} OFFSET {offset:UInt64}

-- summaries --
SELECT * EXCEPT (key) FROM keyed_summaries WHERE key IN {runs:Array(UInt64)} ORDER BY project, run_id, metric

-- dead_letters --
SELECT * FROM v_dead_letters ORDER BY at DESC, topic, partition, offset, line LIMIT {limit:UInt64}

-- pipeline --
-- workers: how many are alive; fresh_to: everything produced before it is stored; behind_s: how long ago that is;
-- points_per_s, messages_per_s: over the last minute; lag: messages that wait; dead_letters: of all time, by reason.
WITH
    (SELECT tuple(fresh_to, workers) FROM pipeline_now) AS now_is,
    minute AS (
        SELECT worker, argMax(lag, at) AS lag,  -- a worker's counters begin at 0 when it starts again
            arraySum(d -> greatest(d, 0), arrayDifference(groupArray(points))) AS points,
            arraySum(d -> greatest(d, 0), arrayDifference(groupArray(messages))) AS messages,
            dateDiff('millisecond', min(at), max(at)) / 1000 AS seconds
        FROM (SELECT * FROM worker_beats WHERE at > now64(3) - toIntervalMinute(1) ORDER BY at) GROUP BY worker
    ),
    letters AS (SELECT toString(reason) AS reason, count() AS n FROM dead_letters FINAL GROUP BY reason ORDER BY n DESC, reason)
SELECT
    now_is.2 AS workers,
    if(workers = 0, NULL, now_is.1) AS fresh_to,
    if(workers = 0, NULL, greatest(0., dateDiff('millisecond', now_is.1, now64(3)) / 1000)) AS behind_s,
    (SELECT sum(if(seconds > 0, points / seconds, 0)) FROM minute) AS points_per_s,
    (SELECT sum(if(seconds > 0, messages / seconds, 0)) FROM minute) AS messages_per_s,
    (SELECT sum(lag) FROM minute) AS lag,
    (SELECT countIf(state = 'running') FROM run_states
        WHERE key IN (SELECT run FROM runs FINAL WHERE state = 'running')) AS runs_running,
    (SELECT sum(n) FROM letters) AS dead_letters,
    (SELECT mapFromArrays(groupArray(reason), groupArray(n)) FROM letters) AS dead_letters_by_reason
