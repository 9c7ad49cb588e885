-- Which runs each granule of points holds: a question about 50 runs of 2,000 reads less than half of the granules that the
-- primary key alone leaves (docs/decisions/0008). Older parts get it as they are merged.
ALTER TABLE points ADD INDEX IF NOT EXISTS of_run run TYPE set(4) GRANULARITY 1;
