-- Ids: run = xxHash64('<project>/<run_id>'), key = xxHash64(metric name), writer = xxHash64(writer id).
-- Second line of exactly-once everywhere: ReplacingMergeTree by the event's identity, read with FINAL.

CREATE TABLE IF NOT EXISTS runs (
    run UInt64, project LowCardinality(String), run_id String, name String,
    `group` String, job_type LowCardinality(String), tags Array(String), notes String,
    state LowCardinality(String),            -- running | finished | failed | killed; 'crashed' is what v_runs derives
    exit_code Nullable(Int32), attempt UInt16,
    started_at DateTime64(3, 'UTC'), ended_at Nullable(DateTime64(3, 'UTC')),
    host String, version UInt64
) ENGINE = ReplacingMergeTree(version) ORDER BY run;

-- One process's stream of lines, and the attempt that it was counted into. The first place where a run is named.
CREATE TABLE IF NOT EXISTS writers (
    run UInt64, writer UInt64, project LowCardinality(String), run_id String, writer_id String,
    attempt UInt16, `rank` UInt32, host String, pid UInt32, started_at DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree ORDER BY (run, writer);

-- Which lines of a writer are stored: half-open intervals [first, next) of seq. Written after the rows they speak of.
CREATE TABLE IF NOT EXISTS ingest_progress (
    run UInt64, writer UInt64, first UInt64, next UInt64,
    stored_at DateTime64(3, 'UTC') DEFAULT now64(3),
    point_at DateTime64(3, 'UTC')            -- newest ts of a user's point so far; 1970 if none ("system/" is not the user's)
) ENGINE = ReplacingMergeTree(next) ORDER BY (run, writer, first);

CREATE TABLE IF NOT EXISTS run_events (
    run UInt64, ts DateTime64(9, 'UTC'), writer UInt64, seq UInt64,
    attempt UInt16, kind LowCardinality(String), body String CODEC(ZSTD(3))
) ENGINE = ReplacingMergeTree ORDER BY (run, ts, writer, seq);

-- config, summary and meta, flattened; the latest ts wins, whatever the order of arrival.
CREATE TABLE IF NOT EXISTS run_values (
    run UInt64, section Enum8('config' = 1, 'summary' = 2, 'meta' = 3), name String,
    value String CODEC(ZSTD(3)),             -- JSON; 'null' means deleted
    number Nullable(Float64), ts UInt64      -- ns
) ENGINE = ReplacingMergeTree(ts) ORDER BY (run, section, name);

CREATE TABLE IF NOT EXISTS metrics (id UInt64, name String) ENGINE = ReplacingMergeTree ORDER BY id;

CREATE TABLE IF NOT EXISTS metric_defs (
    run UInt64, name String, goal LowCardinality(String), step_metric String, summary LowCardinality(String),
    alert String, ts UInt64
) ENGINE = ReplacingMergeTree(ts) ORDER BY (run, name);

CREATE TABLE IF NOT EXISTS points (
    run UInt64 CODEC(ZSTD(1)), key UInt64 CODEC(ZSTD(1)), step Int64 CODEC(DoubleDelta, ZSTD(1)),
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)), value Float64 CODEC(ZSTD(1)),
    attempt UInt16 CODEC(ZSTD(1)), writer UInt64 CODEC(ZSTD(1)), seq UInt64 CODEC(DoubleDelta, ZSTD(1))
) ENGINE = ReplacingMergeTree ORDER BY (run, key, step, writer, seq) PRIMARY KEY (run, key, step);

-- Buckets of 1,024 steps, always recomputed from the raw points of the bucket, never added to. All but `stored` speak of
-- the current points: those that no later attempt superseded. min, max and sum are of the finite ones.
CREATE TABLE IF NOT EXISTS tiers (
    run UInt64, key UInt64, bucket Int64,    -- bucket = floor(step / 1024)
    n UInt64, nonfinite UInt64, sum Float64,
    min Float64, min_step Int64, max Float64, max_step Int64,
    first Float64, first_step Int64, last Float64, last_step Int64,
    first_ts DateTime64(3, 'UTC'), last_ts DateTime64(3, 'UTC'),
    stored UInt64,                           -- points with the superseded ones: to find out what was not rolled up
    version UInt64                           -- server time of the recomputation, ns
) ENGINE = ReplacingMergeTree(version) ORDER BY (run, key, bucket);

-- Of runs with several attempts: where each attempt begins, per metric. From there on it supersedes the earlier ones.
CREATE TABLE IF NOT EXISTS attempt_starts (
    run UInt64, key UInt64, attempt UInt16, first_step SimpleAggregateFunction(min, Int64)
) ENGINE = AggregatingMergeTree ORDER BY (run, key, attempt);

CREATE TABLE IF NOT EXISTS alerts (
    id String, run UInt64, ts DateTime64(3, 'UTC'), kind LowCardinality(String), severity LowCardinality(String),
    title String, text String, metric String, step Nullable(Int64), state LowCardinality(String),
    detail String, version UInt64
) ENGINE = ReplacingMergeTree(version) ORDER BY (run, id);

-- `broker` is the cluster's id: an embedded broker that forgot and starts again at offset 0 is another one.
CREATE TABLE IF NOT EXISTS dead_letters (
    broker String, topic LowCardinality(String), partition Int32, offset Int64, line Int32,
    reason LowCardinality(String), detail String, key String, value String CODEC(ZSTD(3)),
    at DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = ReplacingMergeTree ORDER BY (broker, topic, partition, offset, line);

-- What each worker says of itself every few seconds; fresh_to = everything produced before it is stored.
CREATE TABLE IF NOT EXISTS worker_beats (
    worker String, at DateTime64(3, 'UTC'), fresh_to DateTime64(3, 'UTC'),
    messages UInt64, points UInt64, duplicates UInt64, dead UInt64, lag UInt64
) ENGINE = MergeTree ORDER BY at TTL toDateTime(at) + INTERVAL 7 DAY;
