BEGIN TRANSACTION;
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
    requests TEXT NOT NULL DEFAULT '""'
) STRICT;
INSERT INTO "attempts" VALUES(1,'deploy','cli','cccccccccccccccccccccccccccccccccccccccc','a','2026-11-26T10:00:00.000Z','drain','succeeded','',1.5,'{"setup":1.0}','{"finished":3,"replayed":0,"held":0,"refused":0,"cut":0,"cut_streams":0,"longest_drain_s":0.0}');
CREATE TABLE made (tree INTEGER PRIMARY KEY, files BLOB, begun_ns INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "made" VALUES(3,X'789C6B5A9A9699935ADC7884B1621223D3AAD2BCB4CCBCCCE28CD494430096D20B27',0);
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
INSERT INTO "processes" VALUES(7,700,'boot','mark','/cgroup','app','{"version":{"slot":"a","commit":"cccccccccccccccccccccccccccccccccccccccc","tree":3},"number":4503599627370497,"port":1,"internal_port":2,"upstream":{"id":4503599627370497,"slot":"a","addresses":{"public":{"host":"127.0.0.1","port":1}}},"rules":{"stop_grace_s":0.0,"restart":true}}',4503599627370497,'web');
INSERT INTO "processes" VALUES(8,800,'boot','','','setup','null',0,'');
CREATE TABLE sizes (tree INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, inodes INTEGER NOT NULL) STRICT;
INSERT INTO "sizes" VALUES(3,5,6);
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    live_slot TEXT NOT NULL DEFAULT '',
    live_commit TEXT NOT NULL DEFAULT '',
    previous_slot TEXT NOT NULL DEFAULT '',
    previous_commit TEXT NOT NULL DEFAULT '',
    last_deploy_time TEXT NOT NULL DEFAULT '',
    serial INTEGER NOT NULL DEFAULT 0,
    live_tree INTEGER NOT NULL DEFAULT 0,
    previous_tree INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO "state" VALUES(1,'a','cccccccccccccccccccccccccccccccccccccccc','b','dddddddddddddddddddddddddddddddddddddddd','2026-11-26T10:00:00.000Z',3,3,2);
CREATE TABLE trees (number INTEGER PRIMARY KEY, commit_hash TEXT NOT NULL, fingerprint TEXT NOT NULL) STRICT;
INSERT INTO "trees" VALUES(2,'dddddddddddddddddddddddddddddddddddddddd','f');
INSERT INTO "trees" VALUES(3,'cccccccccccccccccccccccccccccccccccccccc','');
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('attempts',1);
COMMIT;
