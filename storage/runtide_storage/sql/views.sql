-- What people and pages query: string columns, one row per thing, nothing twice. Applied again whenever this file changes.
-- In every view `run` is the run's display name and `run_id` its id; (project, run_id) is unique. docs/sql.md lists all.
--
-- The fast way to one run: WHERE project = '...' AND run_id = '...'. The joins turn that into a filter on the integer ids
-- which the setting below moves in front of FINAL (docs/decisions/0005-string-views.md).

-- The latest moment up to which everything that was produced is stored, as the live workers say; 1970 without any.
CREATE OR REPLACE VIEW pipeline_now AS
SELECT
    toDateTime64(min(worker_fresh_to), 3, 'UTC') AS fresh_to,
    count() AS workers
FROM (
    SELECT worker, argMax(fresh_to, at) AS worker_fresh_to, max(at) AS newest
    FROM worker_beats
    WHERE at > now64(3) - toIntervalDay(1) AND at >= (SELECT max(at) FROM worker_beats) - toIntervalSecond(30)
    GROUP BY worker
);

-- Runs with the state that follows from silence. `key` is the integer id in the tables.
CREATE OR REPLACE VIEW run_states AS
WITH (SELECT fresh_to FROM pipeline_now) AS fresh_to
SELECT
    r.run AS key, r.project AS project, r.run_id AS run_id, r.name AS name,
    if(r.name = '', r.run_id, r.name) AS run,
    r.group AS `group`, r.job_type AS job_type, r.tags AS tags, r.notes AS notes, r.host AS host,
    if(r.state = 'running' AND w.seen_at > 0 AND fresh_to - w.seen_at > 90, 'crashed', r.state) AS state,
    if(r.state = 'running' AND fresh_to - w.seen_at <= 90 AND w.point_at > 0
           AND fresh_to - w.point_at > if(l.stall_s > 0, l.stall_s, 120),  -- as long as its baselines were ever silent
       'stalled', 'ok') AS health,
    r.exit_code AS exit_code, r.attempt AS attempt, r.started_at AS started_at, r.ended_at AS ended_at,
    w.seen_at AS seen_at,
    nullIf(w.point_at, toDateTime64(0, 3, 'UTC')) AS point_at,
    greatest(0., (toUnixTimestamp64Milli(coalesce(r.ended_at, w.seen_at, r.started_at))
        - toUnixTimestamp64Milli(r.started_at)) / 1000) AS duration_s
FROM runs AS r FINAL
LEFT JOIN (
    SELECT run, toNullable(max(stored_at)) AS seen_at, toNullable(max(point_at)) AS point_at
    FROM ingest_progress GROUP BY run
) AS w ON r.run = w.run
LEFT JOIN (SELECT run, stall_s FROM run_plans FINAL) AS l ON r.run = l.run;

-- config and summary as text: 'adam', '0.001', 'true', '[1,2]'. v_values has them as JSON, and as numbers.
CREATE OR REPLACE VIEW v_runs AS
SELECT s.project AS project, s.run_id AS run_id, s.run AS run, s.name AS name, s.state AS state, s.health AS health,
    s.`group` AS `group`, s.job_type AS job_type, s.tags AS tags, s.notes AS notes, s.host AS host,
    s.exit_code AS exit_code, s.attempt AS attempt, s.started_at AS started_at, s.ended_at AS ended_at,
    s.seen_at AS seen_at, s.point_at AS point_at, s.duration_s AS duration_s,
    v.config AS config, v.summary AS summary, s.key AS key
FROM run_states AS s
LEFT JOIN (
    SELECT run,
        mapFromArrays(groupArrayIf(name, section = 'config'), groupArrayIf(text, section = 'config')) AS config,
        mapFromArrays(groupArrayIf(name, section = 'summary'), groupArrayIf(text, section = 'summary')) AS summary
    FROM (
        SELECT run, section, name, if(startsWith(value, '"'), JSONExtractString(value), value) AS text
        FROM run_values FINAL WHERE section IN ('config', 'summary') AND value != 'null'
        ORDER BY name
    )
    GROUP BY run
) AS v ON s.key = v.run;

CREATE OR REPLACE VIEW v_points AS
SELECT r.project AS project, r.run_id AS run_id, if(r.name = '', r.run_id, r.name) AS run, m.name AS metric,
    p.step AS step, p.ts AS ts, p.value AS value, p.attempt AS attempt
FROM points AS p FINAL
INNER JOIN runs AS r FINAL ON p.run = r.run
INNER JOIN metrics AS m FINAL ON p.key = m.id
SETTINGS optimize_move_to_prewhere_if_final = 1;

-- Points of runs with one attempt, and of the others those that no later attempt superseded.
CREATE OR REPLACE VIEW current_points AS
SELECT p.run AS run, p.key AS key, p.step AS step, p.ts AS ts, p.value AS value, p.attempt AS attempt,
    p.writer AS writer, p.seq AS seq
FROM points AS p FINAL
WHERE p.run NOT IN (SELECT run FROM attempt_starts)
UNION ALL
SELECT p.run, p.key, p.step, p.ts, p.value, p.attempt, p.writer, p.seq
FROM (SELECT * FROM points FINAL WHERE run IN (SELECT run FROM attempt_starts)) AS p
ASOF LEFT JOIN (
    SELECT run, key, attempt AS later, min(starts_at) OVER (
        PARTITION BY run, key ORDER BY attempt ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS superseded_from
    FROM (SELECT run, key, attempt, min(first_step) AS starts_at FROM attempt_starts GROUP BY run, key, attempt)
) AS l ON p.run = l.run AND p.key = l.key AND p.attempt < l.later
WHERE l.later = 0 OR p.step < l.superseded_from
SETTINGS optimize_move_to_prewhere_if_final = 1;

CREATE OR REPLACE VIEW v_current_points AS
SELECT r.project AS project, r.run_id AS run_id, if(r.name = '', r.run_id, r.name) AS run, m.name AS metric,
    p.step AS step, p.ts AS ts, p.value AS value, p.attempt AS attempt
FROM current_points AS p
INNER JOIN runs AS r FINAL ON p.run = r.run
INNER JOIN metrics AS m FINAL ON p.key = m.id
SETTINGS optimize_move_to_prewhere_if_final = 1;

-- v_points with who logged each: for runs of several ranks.
CREATE OR REPLACE VIEW v_rank_points AS
SELECT r.project AS project, r.run_id AS run_id, if(r.name = '', r.run_id, r.name) AS run, m.name AS metric,
    p.step AS step, p.ts AS ts, p.value AS value, p.attempt AS attempt,
    w.`rank` AS rank, w.host AS host, w.writer_id AS writer
FROM points AS p FINAL
INNER JOIN runs AS r FINAL ON p.run = r.run
INNER JOIN metrics AS m FINAL ON p.key = m.id
LEFT JOIN writers AS w FINAL ON p.run = w.run AND p.writer = w.writer
SETTINGS optimize_move_to_prewhere_if_final = 1;

-- One row per (run, metric), of the current points. The joins come first, so that a filter on names reaches the tiers.
CREATE OR REPLACE VIEW summaries AS
SELECT
    t.run AS key, r.project AS project, r.run_id AS run_id, r.name AS name, m.name AS metric,
    sum(t.n) AS n, sum(t.nonfinite) AS nonfinite,
    argMin(t.first, t.bucket) AS first, argMin(t.first_step, t.bucket) AS first_step,
    argMax(t.last, t.bucket) AS last, argMax(t.last_step, t.bucket) AS last_step,
    if(n > nonfinite, minIf(t.min, t.n > t.nonfinite), nan) AS min,
    argMinIf(t.min_step, (t.min, t.bucket), t.n > t.nonfinite) AS min_step,
    if(n > nonfinite, maxIf(t.max, t.n > t.nonfinite), nan) AS max,
    argMaxIf(t.max_step, (t.max, -t.bucket), t.n > t.nonfinite) AS max_step,
    if(n > nonfinite, sum(t.sum) / (n - nonfinite), nan) AS mean,
    min(t.first_ts) AS first_ts, max(t.last_ts) AS last_ts
FROM tiers AS t FINAL
INNER JOIN runs AS r FINAL ON t.run = r.run
INNER JOIN metrics AS m FINAL ON t.key = m.id
WHERE t.n > 0
GROUP BY key, project, run_id, name, metric
SETTINGS optimize_move_to_prewhere_if_final = 1;

-- Goals come from define_metric: the exact name first, else the glob that was defined last.
-- A filter on `key` reaches every table below; v_summary is the same without it.
CREATE OR REPLACE VIEW keyed_summaries AS
SELECT
    s.key AS key, s.project AS project, s.run_id AS run_id, if(s.name = '', s.run_id, s.name) AS run, s.metric AS metric,
    s.n AS n, s.nonfinite AS nonfinite, s.first AS first, s.first_step AS first_step,
    s.last AS last, s.last_step AS last_step, s.min AS min, s.min_step AS min_step, s.max AS max, s.max_step AS max_step,
    s.mean AS mean,
    nullIf(if(d.run != 0, d.goal, arrayFirst((goal, pattern) -> s.metric LIKE pattern, g.goals, g.patterns)), '') AS goal,
    multiIf(s.n = s.nonfinite, NULL, goal = 'minimize', s.min, goal = 'maximize', s.max, NULL) AS best,
    multiIf(s.n = s.nonfinite, NULL, goal = 'minimize', s.min_step, goal = 'maximize', s.max_step, NULL) AS best_step,
    s.first_ts AS first_ts, s.last_ts AS last_ts
FROM summaries AS s
LEFT JOIN (SELECT run, name, toString(goal) AS goal FROM metric_defs FINAL) AS d ON s.key = d.run AND s.metric = d.name
LEFT JOIN (
    SELECT run, groupArray(pattern) AS patterns, groupArray(toString(goal)) AS goals
    FROM (
        SELECT run, goal,
            replaceAll(replaceAll(replaceRegexpAll(name, '([%_\\\\])', '\\\\\\1'), '*', '%'), '?', '_') AS pattern
        FROM metric_defs FINAL WHERE name LIKE '%*%' OR name LIKE '%?%' ORDER BY ts DESC
    )
    GROUP BY run
) AS g ON s.key = g.run
SETTINGS optimize_move_to_prewhere_if_final = 1;

-- min, max and mean are of the finite values; first and last may be NaN or infinite.
CREATE OR REPLACE VIEW v_summary AS SELECT * EXCEPT (key) FROM keyed_summaries;

CREATE OR REPLACE VIEW v_values AS
SELECT r.project AS project, r.run_id AS run_id, if(r.name = '', r.run_id, r.name) AS run,
    toString(v.section) AS section, v.name AS name, v.value AS value, v.number AS number,
    fromUnixTimestamp64Nano(toInt64(v.ts), 'UTC') AS ts
FROM run_values AS v FINAL
INNER JOIN runs AS r FINAL ON v.run = r.run
WHERE v.value != 'null';

CREATE OR REPLACE VIEW v_config AS
SELECT project, run_id, run, name, value, number FROM v_values WHERE section = 'config';

CREATE OR REPLACE VIEW v_events AS
SELECT r.project AS project, r.run_id AS run_id, if(r.name = '', r.run_id, r.name) AS run,
    e.ts AS ts, e.attempt AS attempt, w.`rank` AS rank, w.writer_id AS writer, e.seq AS seq, e.kind AS kind, e.body AS body
FROM run_events AS e FINAL
INNER JOIN runs AS r FINAL ON e.run = r.run
LEFT JOIN writers AS w FINAL ON e.run = w.run AND e.writer = w.writer;

-- The processes of each run: one per rank and launch, and however often the SDK was started anew.
CREATE OR REPLACE VIEW v_writers AS
SELECT r.project AS project, r.run_id AS run_id, if(r.name = '', r.run_id, r.name) AS run,
    w.writer_id AS writer, w.attempt AS attempt, w.`rank` AS rank, w.host AS host, w.pid AS pid,
    w.started_at AS started_at, p.lines AS lines, p.seen_at AS seen_at,
    nullIf(p.point_at, toDateTime64(0, 3, 'UTC')) AS point_at
FROM writers AS w FINAL
INNER JOIN runs AS r FINAL ON w.run = r.run
LEFT JOIN (
    SELECT run, writer, intervalLengthSum(first, next) AS lines, toNullable(max(stored_at)) AS seen_at,
        toNullable(max(point_at)) AS point_at
    FROM ingest_progress FINAL GROUP BY run, writer
) AS p ON w.run = p.run AND w.writer = p.writer;

-- `state`: open | acknowledged (by people) | resolved (by itself).
CREATE OR REPLACE VIEW v_alerts AS
SELECT r.project AS project, r.run_id AS run_id, if(r.name = '', r.run_id, r.name) AS run, r.`group` AS `group`,
    a.id AS id, a.ts AS ts, a.kind AS kind, a.severity AS severity, a.title AS title, a.text AS text,
    nullIf(a.metric, '') AS metric, a.step AS step,
    if(a.state = 'open' AND s.action = 'acknowledge', 'acknowledged', a.state) AS state,
    a.incident AS incident, toBool(a.quiet) AS quiet, nullIf(s.who, '') AS who, nullIf(s.reason, '') AS reason,
    nullIf(s.acted_at, toDateTime64(0, 3, 'UTC')) AS acted_at, a.detail AS detail
FROM alerts AS a FINAL
INNER JOIN runs AS r FINAL ON a.run = r.run
LEFT JOIN (
    SELECT id, argMax(action, at) AS action, argMax(who, at) AS who, argMax(reason, at) AS reason,
        max(at) AS acted_at
    FROM alert_actions GROUP BY id
) AS s ON a.id = s.id;

-- metric '' is the whole run.
CREATE OR REPLACE VIEW v_verdicts AS
SELECT r.project AS project, r.run_id AS run_id, if(r.name = '', r.run_id, r.name) AS run, r.`group` AS `group`,
    v.metric AS metric, v.verdict AS verdict, v.reason AS reason, nullIf(v.goal, '') AS goal, v.step AS step,
    v.value AS value, v.baseline AS baseline, v.effect AS effect, v.low AS low, v.high AS high, v.n AS n,
    v.made_at AS made_at
FROM verdicts AS v FINAL
INNER JOIN runs AS r FINAL ON v.run = r.run;

-- What people decided, beside the verdict on the run.
CREATE OR REPLACE VIEW v_decisions AS
SELECT e.project AS project, e.run_id AS run_id, e.run AS run, e.ts AS ts,
    JSONExtractString(e.body, 'verdict') AS decision, JSONExtractString(e.body, 'reason') AS reason,
    nullIf(JSONExtractString(e.body, 'next_step'), '') AS next_step,
    nullIf(JSONExtractString(e.body, 'hypothesis'), '') AS hypothesis,
    JSONExtract(e.body, 'against', 'Array(String)') AS against, nullIf(JSONExtractString(e.body, 'who'), '') AS who,
    nullIf(v.verdict, '') AS verdict, nullIf(v.reason, '') AS verdict_reason
FROM v_events AS e
LEFT JOIN v_verdicts AS v ON e.project = v.project AND e.run_id = v.run_id AND v.metric = ''
WHERE e.kind = 'decision';

-- The baseline that each run was, or is being, compared with.
CREATE OR REPLACE VIEW v_plans AS
SELECT r.project AS project, r.run_id AS run_id, if(r.name = '', r.run_id, r.name) AS run, r.`group` AS `group`,
    hex(p.family) AS family, p.fields AS fields, p.`primary` AS `primary`, p.stall_s AS stall_s,
    arrayMap(m -> n.run_ids[indexOf(n.keys, m)], p.members) AS members, p.planned_at AS planned_at
FROM run_plans AS p FINAL
INNER JOIN runs AS r FINAL ON p.run = r.run
LEFT JOIN (
    SELECT project, groupArray(run) AS keys, groupArray(run_id) AS run_ids FROM runs FINAL GROUP BY project
) AS n ON r.project = n.project;

CREATE OR REPLACE VIEW v_dead_letters AS
SELECT at, reason, detail, topic, partition, offset, line, key, value, broker FROM dead_letters FINAL;

CREATE OR REPLACE VIEW v_workers AS
SELECT worker, at, fresh_to, messages, points, duplicates, dead, lag FROM worker_beats;

-- Each partition as the worker that had it last in the last ten minutes saw it.
CREATE OR REPLACE VIEW v_partitions AS
SELECT number AS partition, argMax(b.worker, b.at) AS worker, max(b.at) AS seen_at, argMax(waiting, b.at) AS lag
FROM worker_beats AS b ARRAY JOIN partitions AS number, lags AS waiting
WHERE b.at > now64(3) - toIntervalMinute(10) GROUP BY number;

CREATE OR REPLACE VIEW v_shippers AS SELECT * FROM shippers FINAL;
