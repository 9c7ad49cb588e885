-- Statements of finals.py. {runs} and {curves} are put in by it: made of integers. {source}: the points of sources.py.

-- planned --
-- The newest finished runs of each family of a project, oldest first.
SELECT * FROM (
    SELECT p.run AS run, hex(p.family) AS family, p.fields AS fields, p.goals AS goals, p.`primary` AS `primary`,
        r.project AS project, r.`group` AS `group`, r.run_id AS run_id, r.name AS name, r.started_at AS started_at
    FROM (SELECT run, family, fields, goals, `primary` FROM run_plans FINAL) AS p
    INNER JOIN (
        SELECT run, project, `group`, run_id, if(name = '', run_id, name) AS name, started_at FROM runs FINAL
        WHERE project = {{project:String}} AND state = 'finished' AND ({{any_group:Bool}} OR `group` = {{group:String}})
    ) AS r ON p.run = r.run
    ORDER BY started_at DESC, run_id DESC LIMIT {{limit:UInt32}} BY family
)
ORDER BY family, started_at, run_id

-- levels --
SELECT run, argMax(t.last, t.bucket) AS last, argMax(t.last_step, t.bucket) AS last_step,
    minIf(t.min, t.n > t.nonfinite) AS lowest, maxIf(t.max, t.n > t.nonfinite) AS highest, sum(t.n) > sum(t.nonfinite) AS is_finite
FROM tiers AS t FINAL WHERE {curves} AND t.n > 0
GROUP BY run

-- commits --
SELECT run, anyIf(JSONExtractString(value), name = 'git/commit') AS commit, max(name = 'git/dirty' AND value = 'true') AS dirty
FROM run_values FINAL WHERE run IN ({runs}) AND section = 'meta' AND name IN ('git/commit', 'git/dirty')
GROUP BY run

-- peaks --
-- Of each healthy run of a project and each of its metrics: how high the statistic came against the others of its cohort.
SELECT hex(f.family) AS family, f.metric AS metric, toString(f.aspect) AS aspect, f.run AS run,
    argMax(f.peak, f.made_at) AS peak, argMax(f.n, f.made_at) AS n
FROM (
    SELECT family, metric, aspect, member AS run, each AS peak, length(members) - length(wild) AS n, made_at
    FROM baselines FINAL ARRAY JOIN members AS member, peaks AS each
    WHERE isFinite(each) AND NOT has(wild, member) AND family IN (
        SELECT family FROM run_plans WHERE run IN (SELECT run FROM runs WHERE project = {{project:String}})
    )
) AS f
GROUP BY f.family, f.metric, f.aspect, f.run
ORDER BY family, metric, aspect, run

-- points --
SELECT step, ts, value FROM {source} AS p ORDER BY step, ts, seq, writer
