-- What the worker confirms is on the disk, not only in the server's memory: the journals that held it are deleted then.
-- It also tells a full disk at the insert instead of some seconds later, when nobody can be told any more.
ALTER TABLE points MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE metrics MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE runs MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE writers MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE ingest_progress MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE run_events MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE run_values MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE metric_defs MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE alerts MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE dead_letters MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
