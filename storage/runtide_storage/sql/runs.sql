-- Statements of run_table.py, put together by fields.py: one source of `r`, then the joins that the fields need.
-- {within} is a condition on which runs, the same in every table, each of which is called t. What else is put in are
-- integers, our own texts, and places of parameters.

-- plain --
-- The runs as they were written: all that needs no join.
FROM (
    SELECT t.run AS key, t.project AS project, t.run_id AS run_id, t.name AS name,
        if(t.name = '', t.run_id, t.name) AS run, t.`group` AS `group`, t.job_type AS job_type, t.tags AS tags,
        t.notes AS notes, t.host AS host, t.exit_code AS exit_code, t.attempt AS attempt,
        t.started_at AS started_at, t.ended_at AS ended_at, toString(t.state) AS written
    FROM runs AS t FINAL WHERE {within}
) AS r

-- states --
-- What the view run_states says, of some runs. Once more here, because planning takes 10 ms longer when the condition has
-- to find its own way into the view's tables; tests/service/test_run_table.py holds the two together.
FROM (
    WITH (SELECT fresh_to FROM pipeline_now) AS fresh_to
    SELECT s.run AS key, s.project AS project, s.run_id AS run_id, s.name AS name,
        if(s.name = '', s.run_id, s.name) AS run, s.`group` AS `group`, s.job_type AS job_type, s.tags AS tags,
        s.notes AS notes, s.host AS host,
        if(s.state = 'running' AND w.seen_at > 0 AND fresh_to - w.seen_at > 90, 'crashed', s.state) AS state,
        if(s.state = 'running' AND fresh_to - w.seen_at <= 90 AND w.point_at > 0
               AND fresh_to - w.point_at > if(l.stall_s > 0, l.stall_s, 120),
           'stalled', 'ok') AS health,
        s.exit_code AS exit_code, s.attempt AS attempt, s.started_at AS started_at, s.ended_at AS ended_at,
        w.seen_at AS seen_at, nullIf(w.point_at, toDateTime64(0, 3, 'UTC')) AS point_at,
        greatest(0., (toUnixTimestamp64Milli(coalesce(s.ended_at, w.seen_at, s.started_at))
            - toUnixTimestamp64Milli(s.started_at)) / 1000) AS duration_s
    FROM (SELECT * FROM runs AS t FINAL WHERE {within}) AS s
    LEFT JOIN (
        SELECT t.run AS run, toNullable(max(t.stored_at)) AS seen_at, toNullable(max(t.point_at)) AS point_at
        FROM ingest_progress AS t WHERE {within} GROUP BY t.run
    ) AS w ON s.run = w.run
    LEFT JOIN (SELECT t.run AS run, t.stall_s AS stall_s FROM run_plans AS t FINAL WHERE {within}) AS l ON s.run = l.run
) AS r

-- heard --
-- When something was last stored of these runs.
SELECT t.run AS key, max(t.stored_at) AS seen_at, nullIf(max(t.point_at), toDateTime64(0, 3, 'UTC')) AS point_at
FROM ingest_progress AS t WHERE t.run IN ({within}) GROUP BY t.run

-- ids --
-- For what stands beside the runs.
FROM ({within}) AS r

-- values --
LEFT JOIN (
    SELECT t.run AS key, {columns}
    FROM run_values AS t FINAL WHERE {within} AND ({wanted}) AND t.value != 'null'
    GROUP BY t.run
) AS vs ON r.key = vs.key

-- metrics --
LEFT JOIN (
    SELECT t.run AS key, {columns}
    FROM tiers AS t FINAL WHERE {within} AND t.key IN ({keys}) AND t.n > 0
    GROUP BY t.run
) AS ms ON r.key = ms.key

-- definitions --
-- What define_metric said.
LEFT JOIN (
    SELECT key, {columns}
    FROM (
        SELECT t.run AS key, t.name AS name, toString(t.goal) AS goal, toString(t.summary) AS summary, t.ts AS ts,
            replaceAll(replaceAll(replaceRegexpAll(t.name, '([%_\\\\])', '\\\\\\1'), '*', '%'), '?', '_') AS pattern
        FROM metric_defs AS t FINAL WHERE {within}
    )
    GROUP BY key
) AS ds ON r.key = ds.key

-- verdicts --
-- On the whole run.
LEFT JOIN (
    SELECT t.run AS key, toNullable(toString(t.verdict)) AS verdict
    FROM verdicts AS t FINAL WHERE {within} AND t.metric = ''
) AS verdicts ON r.key = verdicts.key

-- errors --
-- What ended the run, if its last end was a bad one.
LEFT JOIN (
    SELECT t.run AS key, argMax(tuple(nullIf(JSONExtractString(t.body, 'error'), '')), t.ts).1 AS error
    FROM run_events AS t FINAL WHERE {within} AND t.kind IN ('finish', 'end')
    GROUP BY t.run
) AS errors ON r.key = errors.key

-- alerts --
-- Those that nobody has acknowledged and that did not resolve.
LEFT JOIN (
    SELECT t.run AS key, count() AS n
    FROM alerts AS t FINAL
    LEFT JOIN (SELECT id, argMax(action, at) AS action FROM alert_actions GROUP BY id) AS said ON t.id = said.id
    WHERE {within} AND t.state = 'open' AND said.action != 'acknowledge'
    GROUP BY t.run
) AS alerts ON r.key = alerts.key
