"""Every table of `state.db`. Those of the last section are read and written by `qualitrace_monitors` alone."""

# How to change it: `Database` runs all statements at every open, so a new table or index is one more
# `CREATE … IF NOT EXISTS` here and nothing else. A change of a table that exists raises VERSION by one and comes with
# the statements that lead there from the version before, in `migrations.py`.
VERSION = 13

# Sums over scores, see `qualitrace_monitors.estimate.sums`.
_SUMS = (
    "samples verdicts w ww passed_1 passed_w1 passed_w2 not_failed_1 not_failed_w1 not_failed_w2 unsure_w2 "
    "value_1 value_w1 value_w2"
).split()
SUM_NAMES, SUMMED = ", ".join(_SUMS), ", ".join(f"sum({name})" for name in _SUMS)
_SUM_COLUMNS = ", ".join(f"{name} REAL NOT NULL" for name in (*_SUMS, "heaviest"))

# Requests by how long they took: at most so many seconds, and more than the bound before; `longer` than the last one.
DURATION_BOUNDS = tuple(round(0.03 * 1.5**step, 3) for step in range(24))
DURATIONS = (*(f"within_{step}" for step in range(len(DURATION_BOUNDS))), "longer")
_DURATION_COLUMNS = "".join(f"{name} INTEGER NOT NULL DEFAULT 0, " for name in DURATIONS)

REQUEST_MINUTE = """CREATE TABLE IF NOT EXISTS request_minute (
    minute INTEGER NOT NULL, service TEXT NOT NULL, requests INTEGER NOT NULL, errors INTEGER NOT NULL,
    tokens REAL NOT NULL, usd REAL NOT NULL, {durations}PRIMARY KEY (minute, service)) WITHOUT ROWID"""

SCORE_HOUR = f"""CREATE TABLE IF NOT EXISTS score_hour (
    slice TEXT NOT NULL, value TEXT NOT NULL, hour INTEGER NOT NULL,
    judge TEXT NOT NULL, tier TEXT NOT NULL, service TEXT NOT NULL, {_SUM_COLUMNS},
    PRIMARY KEY (slice, judge, service, tier, value, hour)) WITHOUT ROWID"""

# How many bins of equal width the distribution of scores has, from 0 to 1.
BINS = 20
_BIN_COLUMNS = ", ".join(f"bin_{number} REAL NOT NULL DEFAULT 0" for number in range(BINS))
_BIN_OF_SCORE = f"min({BINS - 1}, cast(value * {BINS} AS INTEGER))"
_BIN_SUMS = ", ".join(f"sum((1 / inclusion_probability) * ({_BIN_OF_SCORE} = {number}))" for number in range(BINS))

# Sums over pairs of scores, see `qualitrace_monitors.estimate.pairs`.
_PAIR_SUMS = (
    "samples verdicts w w_passed w_not_failed w_value w_local_passed w_local_not_failed w_local_value w_value_value "
    "a a_passed a_not_failed a_value a_local_passed a_local_not_failed a_local_value a_value_value "
    "a_local_value_local_value a_passed_local_passed a_passed_local_value a_not_failed_local_not_failed "
    "a_not_failed_local_value a_value_local_value b b_passed b_not_failed b_value b_value_value"
).split()
_PAIR_COLUMNS = ", ".join(f"{name} REAL NOT NULL" for name in _PAIR_SUMS)
_PAIRS_SUMMED = ", ".join(f"sum({name})" for name in _PAIR_SUMS)

STATEMENTS = (
    # Ledger: the outcome of each trace, and totals that outlive the rows.
    """CREATE TABLE IF NOT EXISTS trace (
        trace_id TEXT PRIMARY KEY, service TEXT NOT NULL, outcome TEXT NOT NULL,
        root_seen INTEGER NOT NULL, recorded_at REAL NOT NULL, not_matched TEXT NOT NULL DEFAULT '') WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS trace_by_age ON trace(recorded_at)",
    """CREATE TABLE IF NOT EXISTS unfinished (
        trace_id TEXT PRIMARY KEY, last_span_at REAL NOT NULL, tracestate TEXT NOT NULL, coverage TEXT NOT NULL
        ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS unfinished_by_silence ON unfinished(last_span_at)",
    # `counted` is how often an outcome was given: unlike `total` it never falls, as a Prometheus counter must.
    """CREATE TABLE IF NOT EXISTS ledger (
        judge TEXT NOT NULL, service TEXT NOT NULL, outcome TEXT NOT NULL, total INTEGER NOT NULL,
        counted INTEGER NOT NULL, PRIMARY KEY (judge, service, outcome)) WITHOUT ROWID""",
    # The names of services, by tenant.
    """CREATE TABLE IF NOT EXISTS service (
        tenant TEXT NOT NULL, name TEXT NOT NULL, seen_at REAL NOT NULL, PRIMARY KEY (tenant, name)) WITHOUT ROWID""",
    # Coverage: what complete traces lack, and what was counted of each.
    """CREATE TABLE IF NOT EXISTS coverage (
        service TEXT NOT NULL, scope TEXT NOT NULL, dialect TEXT NOT NULL, content TEXT NOT NULL,
        traces INTEGER NOT NULL, lacking INTEGER NOT NULL,
        PRIMARY KEY (service, scope, dialect, content)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS coverage_source (
        service TEXT NOT NULL, scope TEXT NOT NULL, dialect TEXT NOT NULL, distro TEXT NOT NULL, tenant TEXT NOT NULL,
        PRIMARY KEY (service, scope, dialect)) WITHOUT ROWID""",
    # For a file that was written before there was this table.
    "INSERT OR IGNORE INTO coverage_source SELECT DISTINCT service, scope, dialect, '', '' FROM coverage",
    """CREATE TABLE IF NOT EXISTS coverage_late (
        service TEXT NOT NULL, scope TEXT NOT NULL, dialect TEXT NOT NULL, content TEXT NOT NULL,
        traces INTEGER NOT NULL,
        PRIMARY KEY (service, scope, dialect, content)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS untraced (
        service TEXT NOT NULL, library TEXT NOT NULL, traces INTEGER NOT NULL,
        PRIMARY KEY (service, library)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS counted (
        trace_id TEXT PRIMARY KEY, coverage TEXT NOT NULL, spent TEXT NOT NULL, counted_at REAL NOT NULL,
        calls INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS counted_by_age ON counted(counted_at)",
    # What waits: for a judge, for a decision, for its span, for its trace.
    """CREATE TABLE IF NOT EXISTS judgement (
        trace_id TEXT NOT NULL, judge TEXT NOT NULL, service TEXT NOT NULL, status TEXT NOT NULL,
        sample TEXT NOT NULL, content_hash TEXT NOT NULL, inclusion_probability REAL NOT NULL,
        root_ended_at REAL NOT NULL, completed_at REAL NOT NULL, due_at REAL NOT NULL,
        attempts INTEGER NOT NULL, weight REAL NOT NULL DEFAULT 1, rate REAL NOT NULL DEFAULT 0,
        PRIMARY KEY (trace_id, judge)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS judgement_due ON judgement(due_at) WHERE status = 'queued'",
    "CREATE INDEX IF NOT EXISTS judgement_waiting ON judgement(judge, completed_at) WHERE status = 'queued'",
    "CREATE INDEX IF NOT EXISTS judgement_by_age ON judgement(completed_at)",
    """CREATE TABLE IF NOT EXISTS dead_letter (
        letter_id TEXT PRIMARY KEY, trace_id TEXT NOT NULL, service TEXT NOT NULL, error TEXT NOT NULL,
        traces BLOB NOT NULL, logs BLOB NOT NULL, recorded_at REAL NOT NULL, tenant TEXT NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS early_log (trace_id TEXT PRIMARY KEY, logs BLOB NOT NULL, recorded_at REAL NOT NULL)",
    """CREATE TABLE IF NOT EXISTS feedback (
        assessment_id TEXT PRIMARY KEY, content TEXT NOT NULL, received_at REAL NOT NULL, due_at REAL NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS feedback_due ON feedback (due_at)",
    """CREATE TABLE IF NOT EXISTS expert_label (
        trace_id TEXT NOT NULL, name TEXT NOT NULL, expert TEXT NOT NULL, good INTEGER NOT NULL,
        labelled_at REAL NOT NULL, PRIMARY KEY (trace_id, name, expert)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS expert_label_by_age ON expert_label(labelled_at)",
    # What people said of a trace, as pages show it.
    """CREATE TABLE IF NOT EXISTS opinion (
        trace_id TEXT NOT NULL, name TEXT NOT NULL, source TEXT NOT NULL, person TEXT NOT NULL,
        value TEXT NOT NULL, comment TEXT NOT NULL, given_at REAL NOT NULL,
        PRIMARY KEY (trace_id, name, source, person)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS opinion_by_age ON opinion(given_at)",
    # The monitors: scores and their sums, verdicts, spending, alerts, notifications.
    """CREATE TABLE IF NOT EXISTS score (
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
        PRIMARY KEY (trace_id, judge, tier)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS score_window ON score(completed_at, judge, service)",
    # Scores as they come; they are completed in another order.
    "CREATE INDEX IF NOT EXISTS score_by_time ON score(scored_at)",
    "CREATE INDEX IF NOT EXISTS score_session ON score(session, judge, tier, service, session_began) "
    "WHERE session_began IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS score_session_began ON score(session_began, completed_at) "
    "WHERE session_began IS NOT NULL",
    # Those that did not pass are few among many: pages of answers find them without reading the others.
    "CREATE INDEX IF NOT EXISTS score_not_passed ON score(completed_at, judge, service, label, value) "
    "WHERE label != 'pass'",
    """CREATE TABLE IF NOT EXISTS answer (
        trace_id TEXT PRIMARY KEY, question TEXT NOT NULL, answer TEXT NOT NULL, completed_at REAL NOT NULL,
        service TEXT NOT NULL DEFAULT '', passages TEXT NOT NULL DEFAULT '[]', passed INTEGER NOT NULL DEFAULT 0,
        seconds REAL, size INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS answer_by_age ON answer(completed_at)",
    "CREATE INDEX IF NOT EXISTS answer_of_service ON answer(service, passed, completed_at, size)",
    f"""CREATE TABLE IF NOT EXISTS score_minute (
        minute INTEGER NOT NULL, judge TEXT NOT NULL, tier TEXT NOT NULL, service TEXT NOT NULL, {_SUM_COLUMNS},
        PRIMARY KEY (minute, judge, tier, service)) WITHOUT ROWID""",
    # The same for what `estimate/pairs.py` sums up.
    f"""CREATE TABLE IF NOT EXISTS pair_minute (
        minute INTEGER NOT NULL, judge TEXT NOT NULL, service TEXT NOT NULL, {_PAIR_COLUMNS},
        PRIMARY KEY (minute, judge, service)) WITHOUT ROWID""",
    f"""CREATE TABLE IF NOT EXISTS pair_hour (
        hour INTEGER NOT NULL, judge TEXT NOT NULL, service TEXT NOT NULL, {_PAIR_COLUMNS},
        PRIMARY KEY (judge, service, hour)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS pair_hour_by_age ON pair_hour(hour)",
    SCORE_HOUR,
    "CREATE INDEX IF NOT EXISTS score_hour_by_age ON score_hour(slice, hour)",
    # The same by the day: a month of all services, or of fifty values of a slice, is read for one page.
    f"""CREATE TABLE IF NOT EXISTS score_day (
        slice TEXT NOT NULL, value TEXT NOT NULL, day INTEGER NOT NULL,
        judge TEXT NOT NULL, tier TEXT NOT NULL, service TEXT NOT NULL, {_SUM_COLUMNS},
        PRIMARY KEY (slice, service, judge, tier, value, day)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS score_day_by_age ON score_day(slice, day)",
    # Sums of weights by the value of the score.
    f"""CREATE TABLE IF NOT EXISTS score_bin (
        judge TEXT NOT NULL, service TEXT NOT NULL, tier TEXT NOT NULL, hour INTEGER NOT NULL, {_BIN_COLUMNS},
        PRIMARY KEY (judge, service, tier, hour)) WITHOUT ROWID""",
    # For a file that was written before there were these tables.
    f"INSERT INTO score_day (slice, value, day, judge, tier, service, {SUM_NAMES}, heaviest) "
    f"SELECT slice, value, hour / 24 AS day, judge, tier, service, {SUMMED}, max(heaviest) FROM score_hour "
    "WHERE NOT EXISTS (SELECT 1 FROM score_day) GROUP BY slice, service, judge, tier, value, day",
    f"INSERT INTO score_bin SELECT judge, service, tier, cast(completed_at / 3600 AS INTEGER) AS hour, {_BIN_SUMS} "
    "FROM score WHERE inclusion_probability > 0 AND NOT EXISTS (SELECT 1 FROM score_bin) "
    "GROUP BY judge, service, tier, hour",
    f"INSERT INTO pair_hour SELECT minute / 60 AS hour, judge, service, {_PAIRS_SUMMED} FROM pair_minute "
    "WHERE NOT EXISTS (SELECT 1 FROM pair_hour) GROUP BY hour, judge, service",
    # What alerts have bet on, by the hour: intervals since a release rest on it.
    """CREATE TABLE IF NOT EXISTS bet_hour (
        judge TEXT NOT NULL, tier TEXT NOT NULL, version TEXT NOT NULL, service TEXT NOT NULL, release TEXT NOT NULL,
        hour INTEGER NOT NULL, began_at REAL NOT NULL, last_at REAL NOT NULL, bets INTEGER NOT NULL,
        weight REAL NOT NULL, passed REAL NOT NULL, failed REAL NOT NULL, value REAL NOT NULL,
        PRIMARY KEY (judge, tier, version, service, release, hour)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS slice_value (
        service TEXT NOT NULL, slice TEXT NOT NULL, value TEXT NOT NULL, seen_hour INTEGER NOT NULL,
        PRIMARY KEY (service, slice, value)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS verdict (
        key TEXT PRIMARY KEY, score TEXT NOT NULL, given_at REAL NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS verdict_by_age ON verdict(given_at)",
    """CREATE TABLE IF NOT EXISTS spend (
        judge TEXT NOT NULL, hour INTEGER NOT NULL, calls INTEGER NOT NULL, tokens INTEGER NOT NULL, usd REAL NOT NULL,
        PRIMARY KEY (judge, hour)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS cached (
        judge TEXT NOT NULL, hour INTEGER NOT NULL, verdicts INTEGER NOT NULL, PRIMARY KEY (judge, hour))""",
    """CREATE TABLE IF NOT EXISTS reservation (
        trace_id TEXT NOT NULL, judge TEXT NOT NULL, tokens REAL NOT NULL, usd REAL NOT NULL, expires_at REAL NOT NULL,
        PRIMARY KEY (trace_id, judge)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS always_pick (
        trace_id TEXT NOT NULL, judge TEXT NOT NULL, spent_at REAL, tokens INTEGER NOT NULL, usd REAL NOT NULL,
        PRIMARY KEY (trace_id, judge)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS always_pick_spent ON always_pick(spent_at, judge, tokens, usd)",
    # Requests, judged or not: those that no rule has seen yet, written only if there is a rule that bets on them, and
    # their sums by the minute.
    """CREATE TABLE IF NOT EXISTS new_request (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT, trace_id TEXT NOT NULL, service TEXT NOT NULL,
        session TEXT NOT NULL, error INTEGER NOT NULL, seconds REAL, first_token REAL, slices TEXT NOT NULL,
        at REAL NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS new_request_of_session ON new_request(service, session, at) WHERE session != ''",
    REQUEST_MINUTE.format(durations=_DURATION_COLUMNS),
    # When the last score by a judge, or request (no judge), came, and seconds of silence since then, counted by a
    # clock that nobody sets; -1 until it is counted.
    """CREATE TABLE IF NOT EXISTS last_seen (
        judge TEXT NOT NULL, tier TEXT NOT NULL, service TEXT NOT NULL, at REAL NOT NULL, silent REAL NOT NULL,
        PRIMARY KEY (judge, tier, service)) WITHOUT ROWID""",
    # What alerts bet on: scores that no rule has seen yet, sessions under way, and what each rule knows.
    """CREATE TABLE IF NOT EXISTS new_score (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT, judge TEXT NOT NULL, tier TEXT NOT NULL, version TEXT NOT NULL,
        service TEXT NOT NULL, session TEXT NOT NULL, value REAL NOT NULL, label TEXT NOT NULL,
        weight REAL NOT NULL, scored_at REAL NOT NULL, slices TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS open_session (
        judge TEXT NOT NULL, tier TEXT NOT NULL, version TEXT NOT NULL, service TEXT NOT NULL, session TEXT NOT NULL,
        scores INTEGER NOT NULL, weight REAL NOT NULL,
        value REAL NOT NULL, passed REAL NOT NULL, failed REAL NOT NULL,
        low_value REAL NOT NULL, low_passed REAL NOT NULL, low_failed REAL NOT NULL,
        least REAL NOT NULL, most REAL NOT NULL,
        began_at REAL NOT NULL, last_at REAL NOT NULL, slices TEXT NOT NULL,
        PRIMARY KEY (judge, tier, version, service, session, slices)) WITHOUT ROWID""",
    # The verdicts of cascades that wait for their model's, and what that one is likely to say.
    """CREATE TABLE IF NOT EXISTS joined_score (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT, trace_id TEXT NOT NULL, judge TEXT NOT NULL, tier TEXT NOT NULL,
        version TEXT NOT NULL, model_version TEXT NOT NULL, service TEXT NOT NULL, session TEXT NOT NULL,
        slices TEXT NOT NULL, weight REAL NOT NULL, value REAL NOT NULL, label TEXT NOT NULL,
        probability REAL NOT NULL, least_probability REAL NOT NULL, picked INTEGER NOT NULL, waits INTEGER NOT NULL,
        scored_at REAL NOT NULL, model_value REAL, model_label TEXT, answered_at REAL)""",
    "CREATE INDEX IF NOT EXISTS joined_score_waiting ON joined_score(judge, service, sequence) WHERE waits",
    "CREATE INDEX IF NOT EXISTS joined_score_trace ON joined_score(trace_id, judge) WHERE waits",
    "CREATE INDEX IF NOT EXISTS joined_score_session ON joined_score(judge, service, session)",
    """CREATE TABLE IF NOT EXISTS joined_guess (
        judge TEXT NOT NULL, service TEXT NOT NULL, version TEXT NOT NULL, bins TEXT NOT NULL,
        PRIMARY KEY (judge, service)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS alert_watch (
        rule TEXT NOT NULL, service TEXT NOT NULL, number INTEGER NOT NULL, version TEXT NOT NULL,
        condition TEXT NOT NULL, state TEXT NOT NULL, bets INTEGER NOT NULL, last_at REAL NOT NULL,
        PRIMARY KEY (rule, service)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS alert_state (
        rule TEXT NOT NULL, service TEXT NOT NULL, judge TEXT NOT NULL, state TEXT NOT NULL,
        active_since REAL, fired_at REAL, held_at REAL,
        value REAL, lower REAL, upper REAL, samples INTEGER NOT NULL,
        labels TEXT NOT NULL, receivers TEXT NOT NULL, PRIMARY KEY (rule, service)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS outbox (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, receiver TEXT NOT NULL,
        topic TEXT NOT NULL, body TEXT NOT NULL, created_at REAL NOT NULL, due_at REAL NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0, last_error TEXT)""",
    "CREATE INDEX IF NOT EXISTS outbox_by_receiver ON outbox(receiver, sequence)",
    # How the last attempt at each receiver ended, and what is repeated to receivers while it fires.
    """CREATE TABLE IF NOT EXISTS delivery (
        receiver TEXT PRIMARY KEY, outcome TEXT NOT NULL, reason TEXT NOT NULL, problem TEXT NOT NULL,
        at REAL NOT NULL, sent_at REAL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS firing_alert (
        receiver TEXT NOT NULL, fingerprint TEXT NOT NULL, body TEXT NOT NULL, enqueued_at REAL NOT NULL,
        PRIMARY KEY (receiver, fingerprint)) WITHOUT ROWID""",
    # What fired, and what became of its notifications.
    """CREATE TABLE IF NOT EXISTS alert_event (
        number INTEGER PRIMARY KEY AUTOINCREMENT, fingerprint TEXT NOT NULL, rule TEXT NOT NULL,
        service TEXT NOT NULL, judge TEXT NOT NULL, severity TEXT NOT NULL, began_at REAL NOT NULL,
        fired_at REAL NOT NULL, resolved_at REAL, summary TEXT NOT NULL, description TEXT NOT NULL,
        resolution TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS alert_event_open ON alert_event(fingerprint) WHERE resolved_at IS NULL",
    "CREATE INDEX IF NOT EXISTS alert_event_of_service ON alert_event(service, fired_at)",
    "CREATE INDEX IF NOT EXISTS alert_event_of_rule ON alert_event(rule, fired_at)",
    """CREATE TABLE IF NOT EXISTS alert_delivery (
        event INTEGER NOT NULL, status TEXT NOT NULL, receiver TEXT NOT NULL, notification TEXT NOT NULL,
        outcome TEXT NOT NULL, reason TEXT NOT NULL, attempts INTEGER NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (event, status, receiver)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS alert_delivery_of ON alert_delivery(notification)",
    "CREATE TABLE IF NOT EXISTS heartbeat (only INTEGER PRIMARY KEY CHECK (only = 1), sent_at REAL NOT NULL)",
)
