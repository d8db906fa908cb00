BEGIN TRANSACTION;
CREATE TABLE assets (tree INTEGER PRIMARY KEY, files BLOB NOT NULL) STRICT;
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    trigger TEXT NOT NULL,
    commit_hash TEXT NOT NULL DEFAULT '',
    slot TEXT NOT NULL DEFAULT '',
    started_at TEXT NOT NULL,
    stage TEXT NOT NULL DEFAULT '',
    result TEXT NOT NULL DEFAULT 'running',
    error TEXT NOT NULL DEFAULT '',
    seconds REAL NOT NULL DEFAULT 0,
    stage_seconds TEXT NOT NULL DEFAULT '{}',
    requests TEXT NOT NULL DEFAULT '""',
    warnings TEXT NOT NULL DEFAULT '[]',
    config TEXT NOT NULL DEFAULT '""',
    job TEXT NOT NULL DEFAULT '',
    who TEXT NOT NULL DEFAULT '',
    message TEXT NOT NULL DEFAULT '',
    ref TEXT NOT NULL DEFAULT '',
    subject TEXT NOT NULL DEFAULT '',
    author TEXT NOT NULL DEFAULT '',
    cause TEXT NOT NULL DEFAULT '',
    away_s REAL NOT NULL DEFAULT 0
) STRICT;
INSERT INTO "attempts" VALUES(1,'deploy','cli','dddddddddddddddddddddddddddddddddddddddd','b','2026-11-26T10:00:00.000Z','drain','succeeded','',1.5,'{"setup":1.0}','""','["a warning"]','{"root":"","start_command":"node server.js","setup_command":"","setup_timeout_ms":900000,"setup_inputs":null,"build_command":"","release_command":"","release_timeout_ms":900000,"processes":{"worker":"node worker.js"},"cron":{},"health_endpoint":"/healthz","health_status":200,"health_host":"","health_timeout_ms":10000,"rehearse":[],"drain_timeout_ms":5000,"strategy":"overlap","shared_dirs":["data"],"shared_files":[],"asset_dirs":[],"asset_keep":3}','','','','','','','',0.0);
INSERT INTO "attempts" VALUES(2,'job','schedule','dddddddddddddddddddddddddddddddddddddddd','b','2026-11-26T11:00:00.000Z','','failed','exit code 1',0.0,'{}','""','[]','""','nightly','','','','','','',0.0);
INSERT INTO "attempts" VALUES(3,'deploy','cli','eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee','a','2026-11-26T12:00:00.000Z','health','held','',0.0,'{}','""','[]','{"root":"","start_command":"node server.js","setup_command":"","setup_timeout_ms":900000,"setup_inputs":null,"build_command":"","release_command":"","release_timeout_ms":900000,"processes":{"worker":"node worker.js"},"cron":{},"health_endpoint":"/healthz","health_status":200,"health_host":"","health_timeout_ms":10000,"rehearse":[],"drain_timeout_ms":5000,"strategy":"overlap","shared_dirs":["data"],"shared_files":[],"asset_dirs":[],"asset_keep":3}','','ann','try it','','A subject','Ann','',0.0);
CREATE TABLE build_variables (tree INTEGER PRIMARY KEY, digests TEXT NOT NULL) STRICT;
CREATE TABLE candidates (candidate TEXT NOT NULL) STRICT;
INSERT INTO "candidates" VALUES('{"version":{"slot":"a","commit":"eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee","tree":2,"config":{"root":"","start_command":"node server.js","setup_command":"","setup_timeout_ms":900000,"setup_inputs":null,"build_command":"","release_command":"","release_timeout_ms":900000,"processes":{"worker":"node worker.js"},"cron":{},"health_endpoint":"/healthz","health_status":200,"health_host":"","health_timeout_ms":10000,"rehearse":[],"drain_timeout_ms":5000,"strategy":"overlap","shared_dirs":["data"],"shared_files":[],"asset_dirs":[],"asset_keep":3}},"attempt":3,"since":"2026-11-26T12:00:05.000Z","since_s":5.0,"state":"held","error":""}');
CREATE TABLE exits (
    process TEXT PRIMARY KEY,
    how TEXT NOT NULL,
    ended_at TEXT NOT NULL,
    commit_hash TEXT NOT NULL,
    slot TEXT NOT NULL,
    lines TEXT NOT NULL
) STRICT;
CREATE TABLE job_runs (attempt INTEGER PRIMARY KEY, under_way TEXT NOT NULL) STRICT;
CREATE TABLE jobs (name TEXT PRIMARY KEY, schedule TEXT NOT NULL, handled_until TEXT NOT NULL) STRICT;
CREATE TABLE made (tree INTEGER PRIMARY KEY, files BLOB, begun_ns INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE maintenance (message TEXT NOT NULL, since TEXT NOT NULL, kind TEXT NOT NULL) STRICT;
CREATE TABLE one_offs (mark TEXT PRIMARY KEY, one_off TEXT NOT NULL) STRICT;
CREATE TABLE outputs (attempt INTEGER PRIMARY KEY, texts BLOB NOT NULL) STRICT;
INSERT INTO "outputs" VALUES(3,X'789C6B5C5A9C5A525A70843B33AFB824312727332F9D0B005F700866');
CREATE TABLE processes (
    pid INTEGER PRIMARY KEY,
    start_ticks INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    mark TEXT NOT NULL DEFAULT '',
    cgroup TEXT NOT NULL DEFAULT '',
    role TEXT NOT NULL DEFAULT 'other',
    running TEXT NOT NULL DEFAULT 'null',
    release_id INTEGER NOT NULL DEFAULT 0,
    run TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT INTO "processes" VALUES(7,700,'boot','mark','/cgroup','app','{"version":{"slot":"b","commit":"dddddddddddddddddddddddddddddddddddddddd","tree":3,"config":{"root":"","start_command":"node server.js","setup_command":"","setup_timeout_ms":900000,"setup_inputs":null,"build_command":"","release_command":"","release_timeout_ms":900000,"processes":{"worker":"node worker.js"},"cron":{},"health_endpoint":"/healthz","health_status":200,"health_host":"","health_timeout_ms":10000,"rehearse":[],"drain_timeout_ms":5000,"strategy":"overlap","shared_dirs":["data"],"shared_files":[],"asset_dirs":[],"asset_keep":3}},"number":4503599627370497,"port":1,"internal_port":2,"upstream":{"id":4503599627370497,"slot":"b","addresses":{"public":{"host":"127.0.0.1","port":1}}},"retiring":null,"env_digest":""}',4503599627370497,'web');
CREATE TABLE restarts (
    process TEXT NOT NULL,
    cause TEXT NOT NULL,
    number INTEGER NOT NULL,
    last_at TEXT NOT NULL,
    PRIMARY KEY (process, cause)
) STRICT;
INSERT INTO "restarts" VALUES('web','crash',1,'2026-11-26T10:30:00.000Z');
CREATE TABLE setups (tree INTEGER PRIMARY KEY, mark BLOB NOT NULL) STRICT;
CREATE TABLE shared (tree INTEGER PRIMARY KEY, paths TEXT NOT NULL) STRICT;
CREATE TABLE sizes (tree INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, inodes INTEGER NOT NULL) STRICT;
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    live_slot TEXT NOT NULL DEFAULT '',
    live_commit TEXT NOT NULL DEFAULT '',
    previous_slot TEXT NOT NULL DEFAULT '',
    previous_commit TEXT NOT NULL DEFAULT '',
    last_deploy_time TEXT NOT NULL DEFAULT '',
    serial INTEGER NOT NULL DEFAULT 0,
    live_tree INTEGER NOT NULL DEFAULT 0,
    previous_tree INTEGER NOT NULL DEFAULT 0,
    live_config TEXT NOT NULL DEFAULT '',
    previous_config TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT INTO "state" VALUES(1,'b','dddddddddddddddddddddddddddddddddddddddd','a','cccccccccccccccccccccccccccccccccccccccc','2026-11-26T10:00:01.500Z',2,3,1,'{"root":"","start_command":"node server.js","setup_command":"","setup_timeout_ms":900000,"setup_inputs":null,"build_command":"","release_command":"","release_timeout_ms":900000,"processes":{"worker":"node worker.js"},"cron":{},"health_endpoint":"/healthz","health_status":200,"health_host":"","health_timeout_ms":10000,"rehearse":[],"drain_timeout_ms":5000,"strategy":"overlap","shared_dirs":["data"],"shared_files":[],"asset_dirs":[],"asset_keep":3}','{"root":"","start_command":"node old.js","setup_command":"","setup_timeout_ms":900000,"setup_inputs":null,"build_command":"","release_command":"","release_timeout_ms":900000,"processes":{},"cron":{},"health_endpoint":"/healthz","health_status":200,"health_host":"","health_timeout_ms":10000,"rehearse":[],"drain_timeout_ms":5000,"strategy":"overlap","shared_dirs":[],"shared_files":[],"asset_dirs":[],"asset_keep":3}');
CREATE TABLE trees (number INTEGER PRIMARY KEY, commit_hash TEXT NOT NULL, fingerprint TEXT NOT NULL) STRICT;
CREATE INDEX attempts_of_commit ON attempts (commit_hash);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('attempts',3);
COMMIT;
