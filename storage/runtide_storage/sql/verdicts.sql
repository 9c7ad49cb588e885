-- Statements of verdicts.py. An empty text narrows nothing down.

-- verdicts --
SELECT * FROM v_verdicts
WHERE {project:String} IN ('', project)
    AND ({all:Bool} OR concat(project, '/', run_id) IN {refs:Array(String)})
ORDER BY project, run_id, metric

-- plans --
SELECT * FROM v_plans
WHERE {project:String} IN ('', project)
    AND ({all:Bool} OR concat(project, '/', run_id) IN {refs:Array(String)})
ORDER BY planned_at DESC, project, run_id

-- baselines --
-- The ids of runs that are gone are left out.
SELECT hex(b.family) AS family, b.metric AS metric, toString(b.aspect) AS aspect, hex(b.cohort) AS cohort,
    arrayFilter(id -> id != '', arrayMap(m -> n.run_ids[indexOf(n.keys, m)], b.members)) AS members,
    arrayFilter(id -> id != '', arrayMap(m -> n.run_ids[indexOf(n.keys, m)], b.wild)) AS wild,
    toString(b.goal) AS goal, toString(b.scale) AS scale, b.edges AS edges, b.curves AS curves, b.steps AS steps,
    b.peaks AS peaks, b.gap_s AS gap_s, b.made_at AS made_at
FROM (
    SELECT * FROM baselines FINAL
    WHERE {family:String} IN ('', hex(family)) AND (
        {project:String} = '' OR family IN (
            SELECT family FROM run_plans WHERE run IN (SELECT run FROM runs WHERE project = {project:String})
        )
    )
) AS b
CROSS JOIN (
    SELECT groupArray(run) AS keys, groupArray(run_id) AS run_ids FROM runs FINAL
    WHERE run IN (SELECT arrayJoin(members) FROM baselines)
) AS n
ORDER BY family, made_at DESC, metric, aspect

-- marks --
SELECT project, `group`, toString(kind) AS kind, value, who, reason, at FROM baseline_marks FINAL
WHERE active AND {project:String} IN ('', project) ORDER BY project, `group`, kind, at, value
