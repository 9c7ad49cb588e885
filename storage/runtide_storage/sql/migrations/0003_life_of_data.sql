-- What was deleted and what is kept for how long. docs/data.md explains.

-- Runs that are gone for good. Written before anything of them is removed; whatever arrives later of such a run is dropped.
CREATE TABLE IF NOT EXISTS deletions (
    run UInt64, project LowCardinality(String), run_id String,
    at DateTime64(3, 'UTC'), who String, reason String
) ENGINE = ReplacingMergeTree ORDER BY run;

-- How long the runs of a project are kept. active 0: for ever again.
CREATE TABLE IF NOT EXISTS retention (
    project String, days UInt32,             -- since a run's end, else its last sign of life
    keep_tags Array(String),                 -- runs with one of these tags stay
    who String, active UInt8, at DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree(at) ORDER BY project;
