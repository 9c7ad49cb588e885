-- Statements of export.py. {runs} and {keys}: integers. {source}: the points of sources.py.

-- names --
SELECT id, name FROM metrics FINAL WHERE id IN (SELECT key FROM tiers WHERE run IN ({runs}))

-- names_of --
SELECT id, name FROM metrics FINAL WHERE id IN ({keys})

-- points --
SELECT run, key, step, ts, value, attempt FROM {source} AS p ORDER BY run, key, step, writer, seq

-- runs --
SELECT * EXCEPT (key) FROM v_runs WHERE key IN ({runs}) ORDER BY project, started_at, run_id

-- summaries --
SELECT * EXCEPT (key) FROM keyed_summaries WHERE key IN ({runs}) AND ({{all:Bool}} OR metric IN {{metrics:Array(String)}})
ORDER BY project, run_id, metric

-- events --
SELECT r.project AS project, r.run_id AS run_id, e.ts AS ts, e.attempt AS attempt, w.`rank` AS rank, w.writer_id AS writer,
    e.seq AS seq, e.kind AS kind, e.body AS body
FROM run_events AS e FINAL
INNER JOIN (SELECT run, project, run_id FROM runs FINAL WHERE run IN ({runs})) AS r ON e.run = r.run
LEFT JOIN (SELECT run, writer, `rank`, writer_id FROM writers FINAL WHERE run IN ({runs})) AS w
    ON e.run = w.run AND e.writer = w.writer
WHERE e.run IN ({runs}) ORDER BY project, run_id, ts, writer, seq

-- values --
SELECT r.project AS project, r.run_id AS run_id, toString(v.section) AS section, v.name AS name, v.value AS value,
    v.number AS number, fromUnixTimestamp64Nano(toInt64(v.ts), 'UTC') AS ts
FROM run_values AS v FINAL
INNER JOIN (SELECT run, project, run_id FROM runs FINAL WHERE run IN ({runs})) AS r ON v.run = r.run
WHERE v.run IN ({runs}) AND v.value != 'null' ORDER BY project, run_id, section, name

-- alerts --
SELECT * FROM v_alerts WHERE (project, run_id) IN (SELECT project, run_id FROM runs FINAL WHERE run IN ({runs}))
ORDER BY ts, id
