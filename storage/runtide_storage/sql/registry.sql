-- Statements of registry.py.

-- registered --
-- What was said of a project's artifacts by those who made them, and by people since; the newest of it.
SELECT r.run_id AS run_id, toString(e.kind) AS kind, e.ts AS ts, e.body AS body
FROM (
    SELECT * FROM run_events FINAL
    WHERE (kind IN ('artifact', 'artifact_alias') OR (kind = 'decision' AND JSONHas(body, 'stage')))
        AND run IN (SELECT run FROM runs FINAL WHERE project = {project:String})
) AS e
INNER JOIN (SELECT run, run_id FROM runs FINAL WHERE project = {project:String}) AS r ON e.run = r.run
ORDER BY e.ts DESC, run_id LIMIT {limit:UInt32}

-- datasets --
-- What runs said of datasets, the newest of it. An empty project or name: any.
SELECT r.project AS project, r.run_id AS run_id, toString(e.kind) AS kind, e.ts AS ts, e.body AS body
FROM (
    SELECT * FROM run_events FINAL
    WHERE kind = 'dataset' AND ({name:String} = '' OR JSONExtractString(body, 'name') = {name:String})
) AS e
INNER JOIN (
    SELECT run, run_id, project FROM runs FINAL WHERE {project:String} = '' OR project = {project:String}
) AS r ON e.run = r.run
ORDER BY e.ts DESC, project, run_id LIMIT {limit:UInt32}
