-- Where messages wait: in the broker by partition, on the trainers' hosts by shipper.
-- Of the partitions whose lag a worker knows: which they are, and how many messages are produced but not stored in each.
ALTER TABLE worker_beats ADD COLUMN IF NOT EXISTS partitions Array(UInt16);
ALTER TABLE worker_beats ADD COLUMN IF NOT EXISTS lags Array(UInt64);

-- What each shipper last said of itself, beside what it sent.
CREATE TABLE IF NOT EXISTS shippers (
    host String, directory String, at DateTime64(3, 'UTC'), pid UInt32,
    backlog_bytes UInt64, lag_s Float64,     -- journal bytes not handed to Kafka; how long the oldest has waited
    journals UInt32, writers UInt32,
    resent_lines UInt64, oversize_lines UInt64, lost_files UInt64, failures UInt64
) ENGINE = ReplacingMergeTree(at) ORDER BY (host, directory) TTL toDateTime(at) + INTERVAL 7 DAY;
