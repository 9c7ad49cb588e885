-- Statements of cohorts.py: what detection needs to know of runs. {runs}, {curves} and {edges} are put in by it: numbers only.

-- runs --
SELECT run, project, run_id, name, `group`, job_type, tags, state, attempt, toUnixTimestamp64Milli(started_at) AS started_ms,
    toUnixTimestamp64Milli(coalesce(ended_at, toDateTime64(0, 3, 'UTC'))) AS ended_ms
FROM runs FINAL WHERE run IN ({runs})

-- values --
-- Without what is long and only explains: the diff, the packages, the states of random generators.
SELECT run, toString(section) AS section, name, value FROM run_values FINAL
WHERE run IN ({runs}) AND section IN ('config', 'meta') AND value != 'null'
    AND name NOT IN ('git/diff', 'packages') AND NOT startsWith(name, 'rng/')

-- definitions --
SELECT run, name, toString(goal) AS goal, alert, ts FROM metric_defs FINAL WHERE run IN ({runs}) ORDER BY ts, name

-- plans --
SELECT run, family, fields, members, goals, `primary`, threshold FROM run_plans FINAL WHERE run IN ({runs})

-- candidates --
-- Finished runs of a family; alarmed: something that should page is open on it.
SELECT p.run AS run, r.run_id AS run_id, r.tags AS tags, toUnixTimestamp64Milli(coalesce(r.ended_at, r.started_at)) AS ended_ms,
    p.run IN (
        SELECT run FROM alerts FINAL WHERE severity = 'page' AND state = 'open' AND kind NOT IN ('user', 'rule', 'crashed')
    ) AS alarmed
FROM (SELECT run FROM run_plans FINAL WHERE family = {{family:UInt64}}) AS p
INNER JOIN (SELECT * FROM runs FINAL WHERE state = 'finished') AS r ON p.run = r.run
WHERE ended_ms <= {{before_ms:Int64}}
ORDER BY ended_ms DESC, run LIMIT {{limit:UInt32}}

-- marks --
SELECT kind, value FROM baseline_marks FINAL
WHERE project = {{project:String}} AND `group` IN ('', {{group:String}}) AND active ORDER BY kind, value

-- pinned --
SELECT run, run_id, tags, toUnixTimestamp64Milli(coalesce(ended_at, started_at)) AS ended_ms, false AS alarmed
FROM runs FINAL
WHERE project = {{project:String}} AND state = 'finished' AND (
    run_id IN {{run_ids:Array(String)}} OR hasAny(tags, {{tags:Array(String)}}) OR run IN (
        SELECT run FROM run_events
        WHERE kind = 'artifact' AND hasAny(JSONExtract(body, 'aliases', 'Array(String)'), {{aliases:Array(String)}})
    )
)
ORDER BY ended_ms DESC, run LIMIT {{limit:UInt32}}

-- extents --
SELECT t.run AS run, t.key AS key, m.name AS metric, sum(t.n) AS n, sum(t.nonfinite) AS nonfinite,
    min(t.first_step) AS lo_step, max(t.last_step) AS hi_step, minIf(t.min, t.n > t.nonfinite) AS lowest,
    maxIf(t.max, t.n > t.nonfinite) AS highest, argMax(t.last, t.bucket) AS last
FROM (SELECT * FROM tiers FINAL WHERE run IN ({runs}) AND n > 0) AS t
INNER JOIN metrics AS m FINAL ON t.key = m.id
GROUP BY run, key, metric

-- bins --
SELECT run, key, roundDown(toFloat64(step), [{edges}]) AS edge, avg(toFloat64(step)) AS at_step, avg({transformed}) AS level,
    varSampStable({transformed}) AS variance
FROM {source} WHERE isFinite(value) AND step BETWEEN {first:d} AND {last:d}
GROUP BY run, key, edge ORDER BY run, key, edge

-- paces --
SELECT run, key, roundDown(toFloat64(step), [{edges}]) AS edge, toFloat64(min(step)) AS at_step,
    argMin(toUnixTimestamp64Milli(ts) / 1000, (step, ts)) AS level
FROM {source} WHERE step BETWEEN {first:d} AND {last:d}
GROUP BY run, key, edge ORDER BY run, key, edge

-- curves --
SELECT run, key, step, toUnixTimestamp64Milli(ts) AS ts_ms, value, seq, writer FROM {source}
ORDER BY run, key, ts_ms, seq, writer

-- gaps --
-- To the second: what matters are silences of minutes.
SELECT run, arrayMax(arrayDifference(arraySort(groupUniqArray(intDiv(toUnixTimestamp64Milli(ts), 1000))))) AS gap_s
FROM points WHERE run IN ({runs}) AND key IN ({keys}) GROUP BY run

-- points --
SELECT p.run AS run, p.key AS key, p.step AS step, toUnixTimestamp64Milli(p.ts) AS ts_ms, p.value AS value,
    p.attempt AS attempt, p.writer AS writer, p.seq AS seq
FROM points AS p FINAL WHERE p.run IN ({runs})

-- metric_names --
SELECT id AS key, name FROM metrics FINAL WHERE id IN (SELECT key FROM points WHERE run IN ({runs}))

-- counts --
SELECT run, count() AS n FROM points WHERE run IN ({runs}) GROUP BY run

-- last_lines --
SELECT run, writer, max(seq) AS last FROM points WHERE run IN ({runs}) GROUP BY run, writer

-- alerts --
SELECT id, run, toUnixTimestamp64Milli(ts) AS ts, toString(kind) AS kind, toString(severity) AS severity, title, text, metric,
    step, toString(state) AS state, detail, incident, quiet
FROM alerts FINAL WHERE run IN ({runs})

-- told --
-- Incidents that people were told of lately, by what changed.
SELECT JSONExtractString(detail, 'cause') AS cause, argMin(incident, ts) AS incident,
    toUnixTimestamp64Milli(max(ts)) AS at_ms
FROM alerts FINAL
WHERE NOT quiet AND severity = 'page' AND cause != '' AND ts > now64(3) - toIntervalSecond({{within_s:UInt32}})
GROUP BY cause

-- unjudged --
-- Runs that still need somebody: those that go on, and those that ended without a verdict.
SELECT r.run AS run, r.run_id AS run_id, r.state != 'running' AND r.run NOT IN (SELECT run FROM run_plans)
    AND coalesce(r.ended_at, r.started_at) < now64(3) - toIntervalSecond({{history_s:UInt32}}) AS is_history
FROM (
    SELECT run, run_id, state, started_at, ended_at FROM runs FINAL
    WHERE run NOT IN (SELECT run FROM verdicts WHERE metric = '')
) AS r
LEFT JOIN (SELECT run, max(stored_at) AS seen_at FROM ingest_progress GROUP BY run) AS w ON r.run = w.run
WHERE r.state != 'running' OR w.seen_at > now64(3) - toIntervalDay(1)
ORDER BY r.started_at, r.run LIMIT {{limit:UInt32}}

-- baseline --
SELECT metric, toString(aspect) AS aspect, members, wild, toString(goal) AS goal, toString(scale) AS scale, edges, curves, steps,
    density, noise, peaks, gap_s
FROM baselines FINAL WHERE family = {{family:UInt64}} AND cohort = {{cohort:UInt64}} ORDER BY metric, aspect

-- peaks --
-- Of the newest cohort of each family of a project: how high each healthy run came, tested against the others.
SELECT peak FROM (
    SELECT argMax(peaks, made_at) AS peaks FROM baselines
    WHERE aspect = 'value' AND family IN (
        SELECT family FROM run_plans WHERE run IN (SELECT run FROM runs WHERE project = {{project:String}})
    )
    GROUP BY family, metric
) ARRAY JOIN peaks AS peak WHERE isFinite(peak)

-- run_ids --
SELECT run, run_id FROM runs FINAL WHERE run IN ({runs})
