"""How a `state.db` that an earlier version wrote comes to have the tables of `schema.py`."""

from qualitrace_collector.state.schema import DURATIONS, REQUEST_MINUTE, SCORE_HOUR, SUM_NAMES, SUMMED

# By version: what leads there. They run in order for every version above that of the file, before those of
# `schema.py`.
MIGRATIONS = {
    2: ("ALTER TABLE judgement ADD COLUMN weight REAL NOT NULL DEFAULT 1",),
    3: tuple(
        f"ALTER TABLE score ADD COLUMN {name} TEXT NOT NULL DEFAULT ''"
        for name in ("session", "route", "release", "environment", "retriever")
    ),
    # `schema.py` makes them again: a few seconds' scores, and sessions under way, go unseen by the alerts.
    4: ("DROP TABLE IF EXISTS new_score", "DROP TABLE IF EXISTS open_session"),
    5: (
        "ALTER TABLE trace ADD COLUMN not_matched TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE judgement ADD COLUMN rate REAL NOT NULL DEFAULT 0",
    ),
    6: ("DROP TABLE IF EXISTS open_session",),  # as in 4
    # Nobody knows the weight that earlier scores had for alerts.
    7: ("ALTER TABLE score ADD COLUMN weight REAL", "ALTER TABLE score ADD COLUMN first TEXT NOT NULL DEFAULT ''"),
    8: ("DROP TABLE IF EXISTS open_session",),  # as in 4
    # Earlier scores stay single ones: their sessions were not linked.
    9: (
        "ALTER TABLE score ADD COLUMN least_probability REAL NOT NULL DEFAULT 1",
        "ALTER TABLE score ADD COLUMN session_began REAL",
        *(
            f"ALTER TABLE score_minute ADD COLUMN {name} REAL NOT NULL DEFAULT 0"
            for name in ("passed_w2", "not_failed_w2", "unsure_w2", "heaviest")
        ),
        "ALTER TABLE score_minute DROP COLUMN value_2",
        "UPDATE score_minute SET passed_w2 = passed_w1, not_failed_w2 = not_failed_w1, "
        "unsure_w2 = not_failed_w1 - passed_w1, heaviest = ww / w",
        SCORE_HOUR,
        f"INSERT INTO score_hour (slice, value, hour, judge, tier, service, {SUM_NAMES}, heaviest) "
        f"SELECT '', '', minute / 60 AS hour, judge, tier, service, {SUMMED}, max(heaviest) "
        "FROM score_minute WHERE w > 0 GROUP BY hour, judge, tier, service",
        "DROP TABLE IF EXISTS alert_watch",  # its sums have other names now: rules start over
    ),
    10: ("ALTER TABLE score ADD COLUMN cascade TEXT NOT NULL DEFAULT ''",),
    # It is not known how many calls of earlier traces were counted: enough that what comes late adds none.
    11: (f"ALTER TABLE counted ADD COLUMN calls INTEGER NOT NULL DEFAULT {1 << 31}",),
    12: (
        REQUEST_MINUTE.format(durations=""),  # an earlier file may be older than this table
        *(f"ALTER TABLE request_minute ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0" for name in DURATIONS),
    ),
    13: (
        "CREATE TABLE IF NOT EXISTS answer (trace_id TEXT PRIMARY KEY, question TEXT NOT NULL, answer TEXT NOT NULL, "
        "completed_at REAL NOT NULL) WITHOUT ROWID",  # an earlier file may be older than this table
        "ALTER TABLE answer ADD COLUMN service TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE answer ADD COLUMN passages TEXT NOT NULL DEFAULT '[]'",
        "ALTER TABLE answer ADD COLUMN passed INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE answer ADD COLUMN seconds REAL",
        "ALTER TABLE answer ADD COLUMN size INTEGER NOT NULL DEFAULT 0",
        "UPDATE answer SET size = length(CAST(question AS BLOB)) + length(CAST(answer AS BLOB)), service = "
        "ifnull((SELECT service FROM score WHERE score.trace_id = answer.trace_id LIMIT 1), '')",
    ),
}
