BEGIN TRANSACTION;
CREATE TABLE alert_delivery (
        event INTEGER NOT NULL, status TEXT NOT NULL, receiver TEXT NOT NULL, notification TEXT NOT NULL,
        outcome TEXT NOT NULL, reason TEXT NOT NULL, attempts INTEGER NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (event, status, receiver)) WITHOUT ROWID;
INSERT INTO "alert_delivery" VALUES(1,'x','x','x','x','x',1,1.0);
CREATE TABLE alert_event (
        number INTEGER PRIMARY KEY AUTOINCREMENT, fingerprint TEXT NOT NULL, rule TEXT NOT NULL,
        service TEXT NOT NULL, judge TEXT NOT NULL, severity TEXT NOT NULL, began_at REAL NOT NULL,
        fired_at REAL NOT NULL, resolved_at REAL, summary TEXT NOT NULL, description TEXT NOT NULL,
        resolution TEXT NOT NULL);
INSERT INTO "alert_event" VALUES(1,'x','x','x','x','x',1.0,1.0,1.0,'x','x','x');
CREATE TABLE alert_state (
        rule TEXT NOT NULL, service TEXT NOT NULL, judge TEXT NOT NULL, state TEXT NOT NULL,
        active_since REAL, fired_at REAL, held_at REAL,
        value REAL, lower REAL, upper REAL, samples INTEGER NOT NULL,
        labels TEXT NOT NULL, receivers TEXT NOT NULL, PRIMARY KEY (rule, service)) WITHOUT ROWID;
INSERT INTO "alert_state" VALUES('x','x','x','{}',1.0,1.0,1.0,0.5,1.0,1.0,1,'{}','[]');
CREATE TABLE alert_watch (
        rule TEXT NOT NULL, service TEXT NOT NULL, number INTEGER NOT NULL, version TEXT NOT NULL,
        condition TEXT NOT NULL, state TEXT NOT NULL, bets INTEGER NOT NULL, last_at REAL NOT NULL,
        PRIMARY KEY (rule, service)) WITHOUT ROWID;
INSERT INTO "alert_watch" VALUES('x','x',1,'x','x','{}',1,1.0);
CREATE TABLE always_pick (
        trace_id TEXT NOT NULL, judge TEXT NOT NULL, spent_at REAL, tokens INTEGER NOT NULL, usd REAL NOT NULL,
        PRIMARY KEY (trace_id, judge)) WITHOUT ROWID;
INSERT INTO "always_pick" VALUES('x','x',1.0,1,1.0);
CREATE TABLE answer (
        trace_id TEXT PRIMARY KEY, question TEXT NOT NULL, answer TEXT NOT NULL, completed_at REAL NOT NULL
        ) WITHOUT ROWID;
INSERT INTO "answer" VALUES('x','x','x',1.0);
CREATE TABLE bet_hour (
        judge TEXT NOT NULL, tier TEXT NOT NULL, version TEXT NOT NULL, service TEXT NOT NULL, release TEXT NOT NULL,
        hour INTEGER NOT NULL, began_at REAL NOT NULL, last_at REAL NOT NULL, bets INTEGER NOT NULL,
        weight REAL NOT NULL, passed REAL NOT NULL, failed REAL NOT NULL, value REAL NOT NULL,
        PRIMARY KEY (judge, tier, version, service, release, hour)) WITHOUT ROWID;
INSERT INTO "bet_hour" VALUES('x','x','x','x','x',1,1.0,1.0,1,1.0,1.0,1.0,0.5);
CREATE TABLE cached (
        judge TEXT NOT NULL, hour INTEGER NOT NULL, verdicts INTEGER NOT NULL, PRIMARY KEY (judge, hour));
INSERT INTO "cached" VALUES('x',1,1);
CREATE TABLE counted (
        trace_id TEXT PRIMARY KEY, coverage TEXT NOT NULL, spent TEXT NOT NULL, counted_at REAL NOT NULL,
        calls INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "counted" VALUES('x','[]','{}',1.0,1);
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
CREATE TABLE delivery (
        receiver TEXT PRIMARY KEY, outcome TEXT NOT NULL, reason TEXT NOT NULL, problem TEXT NOT NULL,
        at REAL NOT NULL, sent_at REAL) WITHOUT ROWID;
INSERT INTO "delivery" VALUES('x','x','x','x',1.0,1.0);
CREATE TABLE early_log (trace_id TEXT PRIMARY KEY, logs BLOB NOT NULL, recorded_at REAL NOT NULL);
INSERT INTO "early_log" VALUES('x',X'78',1.0);
CREATE TABLE expert_label (
        trace_id TEXT NOT NULL, name TEXT NOT NULL, expert TEXT NOT NULL, good INTEGER NOT NULL,
        labelled_at REAL NOT NULL, PRIMARY KEY (trace_id, name, expert)) WITHOUT ROWID;
INSERT INTO "expert_label" VALUES('x','x','x',1,1.0);
CREATE TABLE feedback (
        assessment_id TEXT PRIMARY KEY, content TEXT NOT NULL, received_at REAL NOT NULL, due_at REAL NOT NULL);
INSERT INTO "feedback" VALUES('x','x',1.0,1.0);
CREATE TABLE firing_alert (
        receiver TEXT NOT NULL, fingerprint TEXT NOT NULL, body TEXT NOT NULL, enqueued_at REAL NOT NULL,
        PRIMARY KEY (receiver, fingerprint)) WITHOUT ROWID;
INSERT INTO "firing_alert" VALUES('x','x','x',1.0);
CREATE TABLE heartbeat (only INTEGER PRIMARY KEY CHECK (only = 1), sent_at REAL NOT NULL);
INSERT INTO "heartbeat" VALUES(1,1.0);
CREATE TABLE joined_guess (
        judge TEXT NOT NULL, service TEXT NOT NULL, version TEXT NOT NULL, bins TEXT NOT NULL,
        PRIMARY KEY (judge, service)) WITHOUT ROWID;
INSERT INTO "joined_guess" VALUES('x','x','x','[]');
CREATE TABLE joined_score (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT, trace_id TEXT NOT NULL, judge TEXT NOT NULL, tier TEXT NOT NULL,
        version TEXT NOT NULL, model_version TEXT NOT NULL, service TEXT NOT NULL, session TEXT NOT NULL,
        slices TEXT NOT NULL, weight REAL NOT NULL, value REAL NOT NULL, label TEXT NOT NULL,
        probability REAL NOT NULL, least_probability REAL NOT NULL, picked INTEGER NOT NULL, waits INTEGER NOT NULL,
        scored_at REAL NOT NULL, model_value REAL, model_label TEXT, answered_at REAL);
INSERT INTO "joined_score" VALUES(1,'x','x','x','x','x','x','x','[]',1.0,0.5,'x',1.0,1.0,1,1,1.0,1.0,'x',1.0);
CREATE TABLE judgement (
        trace_id TEXT NOT NULL, judge TEXT NOT NULL, service TEXT NOT NULL, status TEXT NOT NULL,
        sample TEXT NOT NULL, content_hash TEXT NOT NULL, inclusion_probability REAL NOT NULL,
        root_ended_at REAL NOT NULL, completed_at REAL NOT NULL, due_at REAL NOT NULL,
        attempts INTEGER NOT NULL, weight REAL NOT NULL DEFAULT 1, rate REAL NOT NULL DEFAULT 0,
        PRIMARY KEY (trace_id, judge)) WITHOUT ROWID;
INSERT INTO "judgement" VALUES('x','x','x','x','{}','x',0.5,1.0,1.0,1.0,1,1.0,1.0);
CREATE TABLE last_seen (
        judge TEXT NOT NULL, tier TEXT NOT NULL, service TEXT NOT NULL, at REAL NOT NULL, silent REAL NOT NULL,
        PRIMARY KEY (judge, tier, service)) WITHOUT ROWID;
INSERT INTO "last_seen" VALUES('x','x','x',1.0,1.0);
CREATE TABLE ledger (
        judge TEXT NOT NULL, service TEXT NOT NULL, outcome TEXT NOT NULL, total INTEGER NOT NULL,
        counted INTEGER NOT NULL, PRIMARY KEY (judge, service, outcome)) WITHOUT ROWID;
INSERT INTO "ledger" VALUES('x','x','x',1,1);
CREATE TABLE new_request (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT, trace_id TEXT NOT NULL, service TEXT NOT NULL,
        session TEXT NOT NULL, error INTEGER NOT NULL, seconds REAL, first_token REAL, slices TEXT NOT NULL,
        at REAL NOT NULL);
INSERT INTO "new_request" VALUES(1,'x','x','x',1,1.0,1.0,'[]',1.0);
CREATE TABLE new_score (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT, judge TEXT NOT NULL, tier TEXT NOT NULL, version TEXT NOT NULL,
        service TEXT NOT NULL, session TEXT NOT NULL, value REAL NOT NULL, label TEXT NOT NULL,
        weight REAL NOT NULL, scored_at REAL NOT NULL, slices TEXT NOT NULL);
INSERT INTO "new_score" VALUES(1,'x','x','x','x','x',0.5,'x',1.0,1.0,'[]');
CREATE TABLE open_session (
        judge TEXT NOT NULL, tier TEXT NOT NULL, version TEXT NOT NULL, service TEXT NOT NULL, session TEXT NOT NULL,
        scores INTEGER NOT NULL, weight REAL NOT NULL,
        value REAL NOT NULL, passed REAL NOT NULL, failed REAL NOT NULL,
        low_value REAL NOT NULL, low_passed REAL NOT NULL, low_failed REAL NOT NULL,
        least REAL NOT NULL, most REAL NOT NULL,
        began_at REAL NOT NULL, last_at REAL NOT NULL, slices TEXT NOT NULL,
        PRIMARY KEY (judge, tier, version, service, session, slices)) WITHOUT ROWID;
INSERT INTO "open_session" VALUES('x','x','x','x','x',1,1.0,0.5,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,'[]');
CREATE TABLE outbox (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, receiver TEXT NOT NULL,
        topic TEXT NOT NULL, body TEXT NOT NULL, created_at REAL NOT NULL, due_at REAL NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0, last_error TEXT);
INSERT INTO "outbox" VALUES(1,'x','x','x','x',1.0,1.0,1,'x');
CREATE TABLE pair_hour (
        hour INTEGER NOT NULL, judge TEXT NOT NULL, service TEXT NOT NULL, samples REAL NOT NULL, verdicts REAL NOT NULL, w REAL NOT NULL, w_passed REAL NOT NULL, w_not_failed REAL NOT NULL, w_value REAL NOT NULL, w_local_passed REAL NOT NULL, w_local_not_failed REAL NOT NULL, w_local_value REAL NOT NULL, w_value_value REAL NOT NULL, a REAL NOT NULL, a_passed REAL NOT NULL, a_not_failed REAL NOT NULL, a_value REAL NOT NULL, a_local_passed REAL NOT NULL, a_local_not_failed REAL NOT NULL, a_local_value REAL NOT NULL, a_value_value REAL NOT NULL, a_local_value_local_value REAL NOT NULL, a_passed_local_passed REAL NOT NULL, a_passed_local_value REAL NOT NULL, a_not_failed_local_not_failed REAL NOT NULL, a_not_failed_local_value REAL NOT NULL, a_value_local_value REAL NOT NULL, b REAL NOT NULL, b_passed REAL NOT NULL, b_not_failed REAL NOT NULL, b_value REAL NOT NULL, b_value_value REAL NOT NULL,
        PRIMARY KEY (judge, service, hour)) WITHOUT ROWID;
INSERT INTO "pair_hour" VALUES(1,'x','x',1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0);
CREATE TABLE pair_minute (
        minute INTEGER NOT NULL, judge TEXT NOT NULL, service TEXT NOT NULL, samples REAL NOT NULL, verdicts REAL NOT NULL, w REAL NOT NULL, w_passed REAL NOT NULL, w_not_failed REAL NOT NULL, w_value REAL NOT NULL, w_local_passed REAL NOT NULL, w_local_not_failed REAL NOT NULL, w_local_value REAL NOT NULL, w_value_value REAL NOT NULL, a REAL NOT NULL, a_passed REAL NOT NULL, a_not_failed REAL NOT NULL, a_value REAL NOT NULL, a_local_passed REAL NOT NULL, a_local_not_failed REAL NOT NULL, a_local_value REAL NOT NULL, a_value_value REAL NOT NULL, a_local_value_local_value REAL NOT NULL, a_passed_local_passed REAL NOT NULL, a_passed_local_value REAL NOT NULL, a_not_failed_local_not_failed REAL NOT NULL, a_not_failed_local_value REAL NOT NULL, a_value_local_value REAL NOT NULL, b REAL NOT NULL, b_passed REAL NOT NULL, b_not_failed REAL NOT NULL, b_value REAL NOT NULL, b_value_value REAL NOT NULL,
        PRIMARY KEY (minute, judge, service)) WITHOUT ROWID;
INSERT INTO "pair_minute" VALUES(1,'x','x',1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0);
CREATE TABLE request_minute (
    minute INTEGER NOT NULL, service TEXT NOT NULL, requests INTEGER NOT NULL, errors INTEGER NOT NULL,
    tokens REAL NOT NULL, usd REAL NOT NULL, within_0 INTEGER NOT NULL DEFAULT 0, within_1 INTEGER NOT NULL DEFAULT 0, within_2 INTEGER NOT NULL DEFAULT 0, within_3 INTEGER NOT NULL DEFAULT 0, within_4 INTEGER NOT NULL DEFAULT 0, within_5 INTEGER NOT NULL DEFAULT 0, within_6 INTEGER NOT NULL DEFAULT 0, within_7 INTEGER NOT NULL DEFAULT 0, within_8 INTEGER NOT NULL DEFAULT 0, within_9 INTEGER NOT NULL DEFAULT 0, within_10 INTEGER NOT NULL DEFAULT 0, within_11 INTEGER NOT NULL DEFAULT 0, within_12 INTEGER NOT NULL DEFAULT 0, within_13 INTEGER NOT NULL DEFAULT 0, within_14 INTEGER NOT NULL DEFAULT 0, within_15 INTEGER NOT NULL DEFAULT 0, within_16 INTEGER NOT NULL DEFAULT 0, within_17 INTEGER NOT NULL DEFAULT 0, within_18 INTEGER NOT NULL DEFAULT 0, within_19 INTEGER NOT NULL DEFAULT 0, within_20 INTEGER NOT NULL DEFAULT 0, within_21 INTEGER NOT NULL DEFAULT 0, within_22 INTEGER NOT NULL DEFAULT 0, within_23 INTEGER NOT NULL DEFAULT 0, longer INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (minute, service)) WITHOUT ROWID;
INSERT INTO "request_minute" VALUES(1,'x',1,1,1.0,1.0,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1);
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
        session TEXT NOT NULL DEFAULT '', route TEXT NOT NULL DEFAULT '', release TEXT NOT NULL DEFAULT '',
        environment TEXT NOT NULL DEFAULT '', retriever TEXT NOT NULL DEFAULT '',
        weight REAL, first TEXT NOT NULL DEFAULT '', cascade TEXT NOT NULL DEFAULT '',
        least_probability REAL NOT NULL DEFAULT 1, session_began REAL,
        PRIMARY KEY (trace_id, judge, tier)) WITHOUT ROWID;
INSERT INTO "score" VALUES('x','x','x','x','x','x','x',0.5,'x','x',0.5,'x',1,1.0,1.0,1.0,'x','x','x','x','x',1.0,'x','x',1.0,1.0);
CREATE TABLE score_bin (
        judge TEXT NOT NULL, service TEXT NOT NULL, tier TEXT NOT NULL, hour INTEGER NOT NULL, bin_0 REAL NOT NULL DEFAULT 0, bin_1 REAL NOT NULL DEFAULT 0, bin_2 REAL NOT NULL DEFAULT 0, bin_3 REAL NOT NULL DEFAULT 0, bin_4 REAL NOT NULL DEFAULT 0, bin_5 REAL NOT NULL DEFAULT 0, bin_6 REAL NOT NULL DEFAULT 0, bin_7 REAL NOT NULL DEFAULT 0, bin_8 REAL NOT NULL DEFAULT 0, bin_9 REAL NOT NULL DEFAULT 0, bin_10 REAL NOT NULL DEFAULT 0, bin_11 REAL NOT NULL DEFAULT 0, bin_12 REAL NOT NULL DEFAULT 0, bin_13 REAL NOT NULL DEFAULT 0, bin_14 REAL NOT NULL DEFAULT 0, bin_15 REAL NOT NULL DEFAULT 0, bin_16 REAL NOT NULL DEFAULT 0, bin_17 REAL NOT NULL DEFAULT 0, bin_18 REAL NOT NULL DEFAULT 0, bin_19 REAL NOT NULL DEFAULT 0,
        PRIMARY KEY (judge, service, tier, hour)) WITHOUT ROWID;
INSERT INTO "score_bin" VALUES('x','x','x',1,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0);
CREATE TABLE score_day (
        slice TEXT NOT NULL, value TEXT NOT NULL, day INTEGER NOT NULL,
        judge TEXT NOT NULL, tier TEXT NOT NULL, service TEXT NOT NULL, samples REAL NOT NULL, verdicts REAL NOT NULL, w REAL NOT NULL, ww REAL NOT NULL, passed_1 REAL NOT NULL, passed_w1 REAL NOT NULL, passed_w2 REAL NOT NULL, not_failed_1 REAL NOT NULL, not_failed_w1 REAL NOT NULL, not_failed_w2 REAL NOT NULL, unsure_w2 REAL NOT NULL, value_1 REAL NOT NULL, value_w1 REAL NOT NULL, value_w2 REAL NOT NULL, heaviest REAL NOT NULL,
        PRIMARY KEY (slice, service, judge, tier, value, day)) WITHOUT ROWID;
INSERT INTO "score_day" VALUES('x','x',1,'x','x','x',1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0);
CREATE TABLE score_hour (
    slice TEXT NOT NULL, value TEXT NOT NULL, hour INTEGER NOT NULL,
    judge TEXT NOT NULL, tier TEXT NOT NULL, service TEXT NOT NULL, samples REAL NOT NULL, verdicts REAL NOT NULL, w REAL NOT NULL, ww REAL NOT NULL, passed_1 REAL NOT NULL, passed_w1 REAL NOT NULL, passed_w2 REAL NOT NULL, not_failed_1 REAL NOT NULL, not_failed_w1 REAL NOT NULL, not_failed_w2 REAL NOT NULL, unsure_w2 REAL NOT NULL, value_1 REAL NOT NULL, value_w1 REAL NOT NULL, value_w2 REAL NOT NULL, heaviest REAL NOT NULL,
    PRIMARY KEY (slice, judge, service, tier, value, hour)) WITHOUT ROWID;
INSERT INTO "score_hour" VALUES('x','x',1,'x','x','x',1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0);
CREATE TABLE score_minute (
        minute INTEGER NOT NULL, judge TEXT NOT NULL, tier TEXT NOT NULL, service TEXT NOT NULL, samples REAL NOT NULL, verdicts REAL NOT NULL, w REAL NOT NULL, ww REAL NOT NULL, passed_1 REAL NOT NULL, passed_w1 REAL NOT NULL, passed_w2 REAL NOT NULL, not_failed_1 REAL NOT NULL, not_failed_w1 REAL NOT NULL, not_failed_w2 REAL NOT NULL, unsure_w2 REAL NOT NULL, value_1 REAL NOT NULL, value_w1 REAL NOT NULL, value_w2 REAL NOT NULL, heaviest REAL NOT NULL,
        PRIMARY KEY (minute, judge, tier, service)) WITHOUT ROWID;
INSERT INTO "score_minute" VALUES(1,'x','x','x',1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0);
CREATE TABLE service (
        tenant TEXT NOT NULL, name TEXT NOT NULL, seen_at REAL NOT NULL, PRIMARY KEY (tenant, name)) WITHOUT ROWID;
INSERT INTO "service" VALUES('x','x',1.0);
CREATE TABLE slice_value (
        service TEXT NOT NULL, slice TEXT NOT NULL, value TEXT NOT NULL, seen_hour INTEGER NOT NULL,
        PRIMARY KEY (service, slice, value)) WITHOUT ROWID;
INSERT INTO "slice_value" VALUES('x','x','x',1);
CREATE TABLE spend (
        judge TEXT NOT NULL, hour INTEGER NOT NULL, calls INTEGER NOT NULL, tokens INTEGER NOT NULL, usd REAL NOT NULL,
        PRIMARY KEY (judge, hour)) WITHOUT ROWID;
INSERT INTO "spend" VALUES('x',1,1,1,1.0);
CREATE TABLE trace (
        trace_id TEXT PRIMARY KEY, service TEXT NOT NULL, outcome TEXT NOT NULL,
        root_seen INTEGER NOT NULL, recorded_at REAL NOT NULL, not_matched TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
INSERT INTO "trace" VALUES('x','x','x',1,1.0,'x');
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
CREATE INDEX expert_label_by_age ON expert_label(labelled_at);
CREATE INDEX score_window ON score(completed_at, judge, service);
CREATE INDEX score_by_time ON score(scored_at);
CREATE INDEX score_session ON score(session, judge, tier, service, session_began) WHERE session_began IS NOT NULL;
CREATE INDEX score_session_began ON score(session_began, completed_at) WHERE session_began IS NOT NULL;
CREATE INDEX answer_by_age ON answer(completed_at);
CREATE INDEX score_hour_by_age ON score_hour(slice, hour);
CREATE INDEX score_day_by_age ON score_day(slice, day);
CREATE INDEX verdict_by_age ON verdict(given_at);
CREATE INDEX always_pick_spent ON always_pick(spent_at, judge, tokens, usd);
CREATE INDEX new_request_of_session ON new_request(service, session, at) WHERE session != '';
CREATE INDEX joined_score_waiting ON joined_score(judge, service, sequence) WHERE waits;
CREATE INDEX joined_score_trace ON joined_score(trace_id, judge) WHERE waits;
CREATE INDEX joined_score_session ON joined_score(judge, service, session);
CREATE INDEX outbox_by_receiver ON outbox(receiver, sequence);
CREATE INDEX alert_event_open ON alert_event(fingerprint) WHERE resolved_at IS NULL;
CREATE INDEX alert_event_of_service ON alert_event(service, fired_at);
CREATE INDEX alert_event_of_rule ON alert_event(rule, fired_at);
CREATE INDEX alert_delivery_of ON alert_delivery(notification);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('new_request',1);
INSERT INTO "sqlite_sequence" VALUES('new_score',1);
INSERT INTO "sqlite_sequence" VALUES('joined_score',1);
INSERT INTO "sqlite_sequence" VALUES('outbox',1);
INSERT INTO "sqlite_sequence" VALUES('alert_event',1);
COMMIT;
PRAGMA user_version = 12;
