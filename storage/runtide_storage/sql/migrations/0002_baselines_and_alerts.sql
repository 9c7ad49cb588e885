-- Regressions: whom a run is compared with, what was found, and what people said of it. docs/detection.md explains.

-- The place of a run in detection, fixed when its first points are seen: members that finish later change nothing for it.
CREATE TABLE IF NOT EXISTS run_plans (
    run UInt64, family UInt64,
    fields String,                           -- JSON: what makes the family (project, group, hardware, batch size, ...)
    members Array(UInt64),                   -- the baseline runs, oldest first; empty: no baseline yet
    goals String,                            -- JSON: metric -> minimize | maximize
    `primary` String,                        -- the metric that may page alone; '' if none is known yet
    threshold Nullable(Float64),             -- of the statistic; NULL: the default
    stall_s Float64,                         -- silence longer than that is a stall
    planned_at DateTime64(3, 'UTC'),
    rank UInt64                              -- 2^63 minus planned_at in ns: the first plan wins
) ENGINE = ReplacingMergeTree(rank) ORDER BY run;

-- What is fitted on some members of a family, per metric. A cache: the same members give the same row.
CREATE TABLE IF NOT EXISTS baselines (
    family UInt64, metric String,
    aspect LowCardinality(String),           -- value | pace (seconds per step, seen at this metric's points)
    cohort UInt64,                           -- hash of the members
    members Array(UInt64),                   -- those that have the metric, oldest first
    wild Array(UInt64),                      -- of these, left out because they differ from all others
    goal LowCardinality(String), scale LowCardinality(String),
    edges Array(Float64),                    -- of the bins along the step, one more than there are bins
    curves Array(Array(Float32)),            -- a row per member, a value per bin, transformed by `scale`; NaN: none there
    steps Array(Array(Float64)),             -- likewise: the mean step of the member's points in the bin
    density Float64,                         -- points per step of a usual member; 0: unknown
    noise Float64,                           -- variance of a single point in its bin, over that between runs; 0: unknown
    peaks Array(Float32),                    -- the highest statistic of each member, tested against all others
    gap_s Float64,                           -- the longest silence of any member between two points
    made_at DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree(made_at) ORDER BY (family, metric, aspect, cohort)
TTL toDateTime(made_at) + INTERVAL 90 DAY;

-- At the end of a run: how it compares with its baseline. metric '' is the whole run.
CREATE TABLE IF NOT EXISTS verdicts (
    run UInt64, metric String,
    verdict LowCardinality(String),          -- better | same | worse | no baseline
    reason String,
    goal LowCardinality(String), step Nullable(Int64),
    value Nullable(Float64), baseline Nullable(Float64),       -- the level at that step, in the metric's own units
    effect Nullable(Float64),                -- relative difference: > 0 is worse
    low Nullable(Float64), high Nullable(Float64),             -- its 95 % interval
    n UInt16,                                -- baseline runs
    made_at DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree(made_at) ORDER BY (run, metric);

-- incident: what belongs together (hash); quiet: kept and shown, but nobody is told.
ALTER TABLE alerts ADD COLUMN IF NOT EXISTS incident String DEFAULT '', ADD COLUMN IF NOT EXISTS quiet UInt8 DEFAULT 0;

-- What people said of an alert. The latest one counts.
CREATE TABLE IF NOT EXISTS alert_actions (
    id String, action LowCardinality(String),                  -- acknowledge | reopen
    who String, reason String, at DateTime64(3, 'UTC')
) ENGINE = MergeTree ORDER BY (id, at);

-- Of whom nothing is told. An empty field means any. active 0: lifted.
CREATE TABLE IF NOT EXISTS mutes (
    id String, project String, `group` String, metric String, kind String,
    until Nullable(DateTime64(3, 'UTC')), who String, reason String, active UInt8, at DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree(at) ORDER BY id;

-- Which runs may be baselines, by people. `group` is that of the runs to be compared.
CREATE TABLE IF NOT EXISTS baseline_marks (
    project String, `group` String,
    kind LowCardinality(String),             -- run | tag | alias: pinned; exclude | accept: one run by its id
    value String, who String, reason String, active UInt8, at DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree(at) ORDER BY (project, `group`, kind, value);

-- Which alert was told to which channel. `channel` is a hash: the URL may hold a token.
CREATE TABLE IF NOT EXISTS deliveries (
    alert String, channel String, label String,
    state LowCardinality(String),            -- sent | waiting | dead
    tries UInt16, error String, at DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree(at) ORDER BY (alert, channel) TTL toDateTime(at) + INTERVAL 90 DAY;
