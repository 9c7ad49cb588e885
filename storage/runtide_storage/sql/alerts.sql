-- Statements of alerts.py, and of whoever tells people.

-- alerts --
-- An empty list, or an empty text, narrows nothing down.
SELECT * FROM v_alerts
WHERE {project:String} IN ('', project) AND {run_id:String} IN ('', run_id)
    AND (empty({states:Array(String)}) OR state IN {states:Array(String)})
    AND (empty({severities:Array(String)}) OR severity IN {severities:Array(String)})
ORDER BY ts DESC, id LIMIT {limit:UInt64}

-- beginning_with --
SELECT * FROM v_alerts WHERE startsWith(id, {id:String}) ORDER BY ts DESC, id LIMIT {limit:UInt64}

-- mutes --
SELECT id, project, `group`, metric, kind, until, who, reason, at FROM mutes FINAL
WHERE active AND (until IS NULL OR until > now64(3)) ORDER BY at DESC, id

-- muted --
-- Mutes that still say something of the alerts of the last `age_s` seconds.
SELECT project, `group`, metric, kind, toUnixTimestamp64Milli(until) AS until_ms FROM mutes FINAL
WHERE active AND (until IS NULL OR until > now64(3) - toIntervalSecond({age_s:UInt32}))

-- outbox --
-- What a channel should be told and was not yet, with what was tried; the worst and oldest first. The subquery without
-- FINAL makes the rest read only what is young.
SELECT a.id AS id, r.project AS project, r.run_id AS run_id, r.name AS name, r.`group` AS `group`,
    toUnixTimestamp64Milli(a.ts) AS ts_ms, a.kind AS kind, a.severity AS severity, a.title AS title, a.text AS text,
    a.metric AS metric, a.step AS step,
    d.tries AS tries, d.error AS error, toUnixTimestamp64Milli(d.at) AS tried_ms
FROM (
    SELECT id, run, ts, toString(kind) AS kind, toString(severity) AS severity, title, text, metric, step FROM alerts FINAL
    WHERE (run, id) IN (SELECT run, id FROM alerts WHERE ts > now64(3) - toIntervalSecond({age_s:UInt32}))
        AND ts > now64(3) - toIntervalSecond({age_s:UInt32})
        AND state = 'open' AND NOT quiet AND severity IN {severities:Array(String)}
        AND id NOT IN (SELECT alert FROM deliveries FINAL WHERE channel = {channel:String} AND state IN ('sent', 'dead'))
        AND id NOT IN (
            SELECT id FROM alert_actions GROUP BY id HAVING argMax(action, at) = 'acknowledge'
        )
) AS a
INNER JOIN (
    SELECT run, project, run_id, name, `group` FROM runs FINAL
    WHERE run IN (SELECT run FROM alerts WHERE ts > now64(3) - toIntervalSecond({age_s:UInt32}))
) AS r ON a.run = r.run
LEFT JOIN (
    SELECT alert, tries, error, at FROM deliveries FINAL WHERE channel = {channel:String} AND state = 'waiting'
) AS d ON a.id = d.alert
ORDER BY indexOf(['page', 'warn', 'info'], severity), ts_ms, id LIMIT {limit:UInt64}
