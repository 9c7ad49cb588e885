-- Statements of differences.py. {runs} is put in by it: numbers only.

-- values --
SELECT run, toString(section) AS section, name, value FROM run_values FINAL
WHERE run IN ({runs}) AND section IN ('config', 'meta') AND value != 'null' AND NOT startsWith(name, 'rng/')

-- data --
-- What a run used and made, the latest word on each: a version, else a digest, else where it is.
SELECT run, transform(toString(kind), ['dataset', 'use_artifact'], ['dataset', 'input'], 'output') AS part,
    if(part = 'input', JSONExtractString(body, 'ref'), JSONExtractString(body, 'name')) AS named,
    if(part = 'input', splitByChar(':', named)[1], named) AS name,
    multiIf(
        part != 'input', coalesce(nullIf(JSONExtractString(body, 'version'), ''), nullIf(JSONExtractString(body, 'digest'), ''),
            nullIf(JSONExtractString(body, 'uri'), ''), JSONExtractString(body, 'path')),
        position(named, ':') > 0, substring(named, position(named, ':') + 1), 'latest') AS version
FROM run_events FINAL WHERE run IN ({runs}) AND kind IN ('dataset', 'use_artifact', 'artifact')
ORDER BY ts, writer, seq

-- results --
SELECT metric, last, best FROM keyed_summaries WHERE key = {run:UInt64} AND NOT startsWith(metric, 'system/') ORDER BY metric

-- summary --
SELECT name, value FROM run_values FINAL
WHERE run = {run:UInt64} AND section = 'summary' AND value != 'null' ORDER BY name
