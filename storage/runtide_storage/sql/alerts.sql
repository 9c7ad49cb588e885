-- Statements of alerts.py, and of whoever tells people. Each first finds out which alerts it is about, by their short
-- columns, and reads the long ones only of these.

-- alerts --
-- An empty list, or an empty text, narrows nothing down.
SELECT * FROM v_alerts
WHERE id IN (
    SELECT id FROM (SELECT id, run, ts, toString(severity) AS severity, toString(state) AS state FROM alerts FINAL) AS a
    LEFT JOIN (SELECT id, argMax(action, at) AS action FROM alert_actions GROUP BY id) AS s ON a.id = s.id
    WHERE ({project:String} = '' OR run IN (
            SELECT run FROM runs WHERE project = {project:String} AND {run_id:String} IN ('', run_id)
        ))
        AND (empty({states:Array(String)})
            OR if(state = 'open' AND action = 'acknowledge', 'acknowledged', state) IN {states:Array(String)})
        AND (empty({severities:Array(String)}) OR severity IN {severities:Array(String)})
    ORDER BY ts DESC, id LIMIT {limit:UInt64}
)
ORDER BY ts DESC, id

-- beginning_with --
SELECT * FROM v_alerts WHERE id IN (SELECT DISTINCT id FROM alerts WHERE startsWith(id, {id:String}) LIMIT {limit:UInt64})
ORDER BY ts DESC, id

-- mutes --
SELECT id, project, `group`, metric, kind, until, who, reason, at FROM mutes FINAL
WHERE active AND (until IS NULL OR until > now64(3)) ORDER BY at DESC, id

-- muted --
-- Mutes that still say something of the alerts of the last `age_s` seconds.
SELECT project, `group`, metric, kind, toUnixTimestamp64Milli(until) AS until_ms FROM mutes FINAL
WHERE active AND (until IS NULL OR until > now64(3) - toIntervalSecond({age_s:UInt32}))

-- outbox --
-- What a channel should be told and was not yet, with what was tried; the worst and oldest first. Mostly there is
-- nothing: then only the times and ids are read.
WITH
    young AS (SELECT run, id FROM alerts WHERE ts > now64(3) - toIntervalSecond({age_s:UInt32})),
    told AS (
        SELECT alert FROM deliveries
        WHERE alert IN (SELECT id FROM young) AND channel = {channel:String} AND state IN ('sent', 'dead')
    ),
    pending AS (SELECT run, id FROM young WHERE id NOT IN (SELECT alert FROM told))
SELECT a.id AS id, r.project AS project, r.run_id AS run_id, r.name AS name, r.`group` AS `group`,
    toUnixTimestamp64Milli(a.ts) AS ts_ms, a.kind AS kind, a.severity AS severity, a.title AS title, a.text AS text,
    a.metric AS metric, a.step AS step,
    d.tries AS tries, d.error AS error, toUnixTimestamp64Milli(d.at) AS tried_ms
FROM (
    SELECT id, run, ts, toString(kind) AS kind, toString(severity) AS severity, title, text, metric, step FROM alerts FINAL
    WHERE (run, id) IN (SELECT run, id FROM pending)
        AND ts > now64(3) - toIntervalSecond({age_s:UInt32})
        AND state = 'open' AND NOT quiet AND severity IN {severities:Array(String)}
        AND id NOT IN (
            SELECT id FROM alert_actions WHERE id IN (SELECT id FROM pending)
            GROUP BY id HAVING argMax(action, at) = 'acknowledge'
        )
) AS a
INNER JOIN (
    SELECT run, project, run_id, name, `group` FROM runs FINAL WHERE run IN (SELECT run FROM pending)
) AS r ON a.run = r.run
LEFT JOIN (
    SELECT alert, tries, error, at FROM deliveries FINAL
    WHERE alert IN (SELECT id FROM pending) AND channel = {channel:String} AND state = 'waiting'
) AS d ON a.id = d.alert
ORDER BY indexOf(['page', 'warn', 'info'], severity), ts_ms, id LIMIT {limit:UInt64}
