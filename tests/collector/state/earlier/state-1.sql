BEGIN TRANSACTION;
CREATE TABLE alert_state (
        rule TEXT NOT NULL, service TEXT NOT NULL, judge TEXT NOT NULL, state TEXT NOT NULL,
        active_since REAL, fired_at REAL, held_at REAL,
        value REAL, lower REAL, upper REAL, samples INTEGER NOT NULL,
        labels TEXT NOT NULL, receivers TEXT NOT NULL, PRIMARY KEY (rule, service)) WITHOUT ROWID;
INSERT INTO "alert_state" VALUES('x','x','x','{}',1.0,1.0,1.0,0.5,1.0,1.0,1,'{}','[]');
CREATE TABLE always_pick (
        trace_id TEXT NOT NULL, judge TEXT NOT NULL, spent_at REAL, tokens INTEGER NOT NULL, usd REAL NOT NULL,
        PRIMARY KEY (trace_id, judge)) WITHOUT ROWID;
INSERT INTO "always_pick" VALUES('x','x',1.0,1,1.0);
CREATE TABLE cached (
        judge TEXT NOT NULL, hour INTEGER NOT NULL, verdicts INTEGER NOT NULL, PRIMARY KEY (judge, hour));
INSERT INTO "cached" VALUES('x',1,1);
CREATE TABLE counted (
        trace_id TEXT PRIMARY KEY, coverage TEXT NOT NULL, spent TEXT NOT NULL, counted_at REAL NOT NULL
        ) WITHOUT ROWID;
INSERT INTO "counted" VALUES('x','[]','{}',1.0);
CREATE TABLE coverage (
        service TEXT NOT NULL, scope TEXT NOT NULL, dialect TEXT NOT NULL, content TEXT NOT NULL,
        traces INTEGER NOT NULL, lacking INTEGER NOT NULL,
        PRIMARY KEY (service, scope, dialect, content)) WITHOUT ROWID;
INSERT INTO "coverage" VALUES('x','x','x','x',1,1);
CREATE TABLE coverage_late (
        service TEXT NOT NULL, scope TEXT NOT NULL, dialect TEXT NOT NULL, content TEXT NOT NULL,
        traces INTEGER NOT NULL,
        PRIMARY KEY (service, scope, dialect, content)) WITHOUT ROWID;
INSERT INTO "coverage_late" VALUES('x','x','x','x',1);
CREATE TABLE coverage_source (
        service TEXT NOT NULL, scope TEXT NOT NULL, dialect TEXT NOT NULL, distro TEXT NOT NULL, tenant TEXT NOT NULL,
        PRIMARY KEY (service, scope, dialect)) WITHOUT ROWID;
INSERT INTO "coverage_source" VALUES('x','x','x','x','x');
CREATE TABLE dead_letter (
        letter_id TEXT PRIMARY KEY, trace_id TEXT NOT NULL, service TEXT NOT NULL, error TEXT NOT NULL,
        traces BLOB NOT NULL, logs BLOB NOT NULL, recorded_at REAL NOT NULL, tenant TEXT NOT NULL);
INSERT INTO "dead_letter" VALUES('x','x','x','x',X'78',X'78',1.0,'x');
CREATE TABLE early_log (trace_id TEXT PRIMARY KEY, logs BLOB NOT NULL, recorded_at REAL NOT NULL);
INSERT INTO "early_log" VALUES('x',X'78',1.0);
CREATE TABLE feedback (
        assessment_id TEXT PRIMARY KEY, content TEXT NOT NULL, received_at REAL NOT NULL, due_at REAL NOT NULL);
INSERT INTO "feedback" VALUES('x','x',1.0,1.0);
CREATE TABLE heartbeat (only INTEGER PRIMARY KEY CHECK (only = 1), sent_at REAL NOT NULL);
INSERT INTO "heartbeat" VALUES(1,1.0);
CREATE TABLE judgement (
        trace_id TEXT NOT NULL, judge TEXT NOT NULL, service TEXT NOT NULL, status TEXT NOT NULL,
        sample TEXT NOT NULL, content_hash TEXT NOT NULL, inclusion_probability REAL NOT NULL,
        root_ended_at REAL NOT NULL, completed_at REAL NOT NULL, due_at REAL NOT NULL,
        attempts INTEGER NOT NULL, PRIMARY KEY (trace_id, judge)) WITHOUT ROWID;
INSERT INTO "judgement" VALUES('x','x','x','x','{}','x',0.5,1.0,1.0,1.0,1);
CREATE TABLE ledger (
        judge TEXT NOT NULL, service TEXT NOT NULL, outcome TEXT NOT NULL, total INTEGER NOT NULL,
        counted INTEGER NOT NULL, PRIMARY KEY (judge, service, outcome)) WITHOUT ROWID;
INSERT INTO "ledger" VALUES('x','x','x',1,1);
CREATE TABLE outbox (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, receiver TEXT NOT NULL,
        topic TEXT NOT NULL, body TEXT NOT NULL, created_at REAL NOT NULL, due_at REAL NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0, last_error TEXT);
INSERT INTO "outbox" VALUES(1,'x','x','x','x',1.0,1.0,1,'x');
CREATE TABLE reservation (
        trace_id TEXT NOT NULL, judge TEXT NOT NULL, tokens REAL NOT NULL, usd REAL NOT NULL, expires_at REAL NOT NULL,
        PRIMARY KEY (trace_id, judge)) WITHOUT ROWID;
INSERT INTO "reservation" VALUES('x','x',1.0,1.0,1.0);
CREATE TABLE score (
        trace_id TEXT NOT NULL, judge TEXT NOT NULL, version TEXT NOT NULL, tier TEXT NOT NULL,
        service TEXT NOT NULL, model TEXT NOT NULL, prompt_version TEXT NOT NULL,
        value REAL NOT NULL, label TEXT NOT NULL, rationale TEXT NOT NULL,
        inclusion_probability REAL NOT NULL, assessment_id TEXT NOT NULL,
        tokens INTEGER NOT NULL, cost_usd REAL,
        completed_at REAL NOT NULL, scored_at REAL NOT NULL,
        PRIMARY KEY (trace_id, judge, tier)) WITHOUT ROWID;
INSERT INTO "score" VALUES('x','x','x','x','x','x','x',0.5,'x','x',0.5,'x',1,1.0,1.0,1.0);
CREATE TABLE score_minute (
        minute INTEGER NOT NULL, judge TEXT NOT NULL, tier TEXT NOT NULL, service TEXT NOT NULL,
        samples REAL NOT NULL, verdicts REAL NOT NULL, w REAL NOT NULL, ww REAL NOT NULL,
        passed_1 REAL NOT NULL, passed_w1 REAL NOT NULL, not_failed_1 REAL NOT NULL, not_failed_w1 REAL NOT NULL,
        value_1 REAL NOT NULL, value_2 REAL NOT NULL, value_w1 REAL NOT NULL, value_w2 REAL NOT NULL,
        PRIMARY KEY (minute, judge, tier, service)) WITHOUT ROWID;
INSERT INTO "score_minute" VALUES(1,'x','x','x',1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0);
CREATE TABLE service (
        tenant TEXT NOT NULL, name TEXT NOT NULL, seen_at REAL NOT NULL, PRIMARY KEY (tenant, name)) WITHOUT ROWID;
INSERT INTO "service" VALUES('x','x',1.0);
CREATE TABLE spend (
        judge TEXT NOT NULL, hour INTEGER NOT NULL, calls INTEGER NOT NULL, tokens INTEGER NOT NULL, usd REAL NOT NULL,
        PRIMARY KEY (judge, hour)) WITHOUT ROWID;
INSERT INTO "spend" VALUES('x',1,1,1,1.0);
CREATE TABLE trace (
        trace_id TEXT PRIMARY KEY, service TEXT NOT NULL, outcome TEXT NOT NULL,
        root_seen INTEGER NOT NULL, recorded_at REAL NOT NULL) WITHOUT ROWID;
INSERT INTO "trace" VALUES('x','x','x',1,1.0);
CREATE TABLE unfinished (
        trace_id TEXT PRIMARY KEY, last_span_at REAL NOT NULL, tracestate TEXT NOT NULL, coverage TEXT NOT NULL
        ) WITHOUT ROWID;
INSERT INTO "unfinished" VALUES('x',1.0,'x','[]');
CREATE TABLE untraced (
        service TEXT NOT NULL, library TEXT NOT NULL, traces INTEGER NOT NULL,
        PRIMARY KEY (service, library)) WITHOUT ROWID;
INSERT INTO "untraced" VALUES('x','x',1);
CREATE TABLE verdict (
        key TEXT PRIMARY KEY, score TEXT NOT NULL, given_at REAL NOT NULL) WITHOUT ROWID;
INSERT INTO "verdict" VALUES('x','x',1.0);
CREATE INDEX trace_by_age ON trace(recorded_at);
CREATE INDEX unfinished_by_silence ON unfinished(last_span_at);
CREATE INDEX counted_by_age ON counted(counted_at);
CREATE INDEX judgement_due ON judgement(due_at) WHERE status = 'queued';
CREATE INDEX judgement_waiting ON judgement(judge, completed_at) WHERE status = 'queued';
CREATE INDEX judgement_by_age ON judgement(completed_at);
CREATE INDEX feedback_due ON feedback (due_at);
CREATE INDEX score_window ON score(completed_at, judge, service);
CREATE INDEX verdict_by_age ON verdict(given_at);
CREATE INDEX always_pick_spent ON always_pick(spent_at, judge, tokens, usd);
CREATE INDEX outbox_by_receiver ON outbox(receiver, sequence);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('outbox',1);
COMMIT;
PRAGMA user_version = 1;
