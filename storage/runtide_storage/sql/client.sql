-- Statements of client.py.

-- values --
SELECT section, name, value, number, ts FROM v_values
WHERE project = {project:String} AND run_id = {run_id:String} ORDER BY section, name

-- events --
SELECT ts, attempt, rank, writer, seq, kind, body FROM v_events
WHERE project = {project:String} AND run_id = {run_id:String} ORDER BY ts, writer, seq

-- metrics --
SELECT metric, n, first_step, last_step FROM v_summary
WHERE project = {project:String} AND run_id = {run_id:String} ORDER BY startsWith(metric, 'system/'), metric

-- summaries --
SELECT * FROM v_summary
WHERE project IN {projects:Array(String)} AND run_id IN {run_ids:Array(String)}
    AND concat(project, '/', run_id) IN {refs:Array(String)}
ORDER BY project, run_id, metric

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
    (SELECT countIf(state = 'running') FROM run_states) AS runs_running,
    (SELECT sum(n) FROM letters) AS dead_letters,
    (SELECT mapFromArrays(groupArray(reason), groupArray(n)) FROM letters) AS dead_letters_by_reason
