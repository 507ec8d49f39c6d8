"""The monitors' Prometheus metrics: each family once. `docs/reference/metrics.md` is generated from it."""

from qualitrace_collector.metrics import Family

EVALUATIONS = Family(
    "qualitrace_evaluations_total",
    "counter",
    "Scores given; the result is pass, fail or unsure; a trace that is judged again counts again.",
    ("judge", "tier", "service", "result"),
)
EVALUATIONS_WEIGHT = Family(
    "qualitrace_evaluations_weight_total",
    "counter",
    "Weights (1 / inclusion probability) of scores, by result; a trace that is judged again counts no more. "
    "Rates of passes over rates of all give the pass rate, also over several servers.",
    ("judge", "tier", "service", "result"),
)
EVALUATIONS_WEIGHTED_VALUE = Family(
    "qualitrace_evaluations_weighted_value_total",
    "counter",
    "Values of scores, 0 to 1, times their weights.",
    ("judge", "tier", "service"),
)
SCORE = Family(
    "qualitrace_score",
    "histogram",
    "Scores given, from 0 (bad) to 1 (good).",
    ("judge", "tier", "service"),
    tuple(tenths / 10 for tenths in range(1, 11)),
)
FRESHNESS = Family(
    "qualitrace_freshness_seconds",
    "histogram",
    "Time from the end of the trace's root span until its score was exported.",
    ("judge", "service"),
    (0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600),
)
LAST_SCORE = Family(
    "qualitrace_last_score_timestamp_seconds",
    "gauge",
    "When the judge gave its last score of the service, in Unix time; absent if it gave none for 31 days, "
    "or a rule on silence takes the service for shut down.",
    ("judge", "tier", "service"),
)
JUDGE_DURATION = Family(
    "qualitrace_judge_duration_seconds",
    "histogram",
    "Time that a judge took for one sample, whether it came to a verdict or not.",
    ("judge", "tier"),
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
JUDGE_TOKENS = Family(
    "qualitrace_judge_tokens_total",
    "counter",
    "Tokens that judges used, by the URI of the model and by direction: input or output.",
    ("judge", "tier", "model", "type"),
)
JUDGE_COST_USD = Family(
    "qualitrace_judge_cost_usd_total",
    "counter",
    "US dollars that judges cost, as far as prices are known; the type is input, output, or unknown where a scorer "
    "states only the whole.",
    ("judge", "tier", "model", "type"),
)
JUDGE_ERRORS = Family(
    "qualitrace_judge_errors_total",
    "counter",
    "Calls of a judge without a verdict; the kind is transient (tried again) or permanent.",
    ("judge", "kind"),
)
JUDGEMENTS = Family(
    "qualitrace_judgements_total",
    "counter",
    "Judgements by outcome: scored, sampled_out, not_matched, not_applicable, budget_skipped, failed or expired; "
    "a trace that is judged again counts again.",
    ("judge", "service", "outcome"),
)
JUDGEMENTS_WAITING = Family("qualitrace_judgements_waiting", "gauge", "Samples that wait for their judge.", ("judge",))
JUDGEMENTS_OLDEST = Family(
    "qualitrace_judgements_oldest_seconds",
    "gauge",
    "Time since the trace was complete of the sample that waits the longest for the judge; absent if none waits.",
    ("judge",),
)
UP = Family(
    "qualitrace_up",
    "gauge",
    "1 if the component does its work, else 0 (`/readyz` says why); receivers and judges by name, the others as listed "
    "in [operate](../how-to/operate.md#readiness).",
    ("component",),
)

BUDGET_SPENT = Family(
    "qualitrace_budget_spent",
    "gauge",
    "What was spent of a limit in its current hour or day; the judge `*` is all of them, the unit usd or tokens.",
    ("judge", "window", "unit"),
)
BUDGET_REMAINING = Family(
    "qualitrace_budget_remaining",
    "gauge",
    "What may still be spent of a limit, calls in flight deducted.",
    ("judge", "window", "unit"),
)
BUDGET_ALWAYS_REMAINING = Family(
    "qualitrace_budget_always_remaining",
    "gauge",
    "What traces that are always judged may still take of a limit, those that wait deducted; at 0 they are sampled "
    "like all others.",
    ("judge", "window", "unit"),
)
EFFECTIVE_RATE = Family(
    "qualitrace_effective_rate",
    "gauge",
    "Share of the traffic without other `rates` that the judge scores now: as configured, or what the budget pays for.",
    ("judge",),
)

BUILD_INFO = Family(
    "qualitrace_build_info",
    "gauge",
    "1, with the versions of qualitrace and Python as labels.",
    ("version", "python"),
)
CONFIG_RELOAD_SUCCESSFUL = Family(
    "qualitrace_config_last_reload_successful",
    "gauge",
    "1 if the server runs with what the configuration file held at the last reload, or at the start; else 0.",
)
CONFIG_RELOAD_TIMESTAMP = Family(
    "qualitrace_config_last_reload_success_timestamp_seconds",
    "gauge",
    "When the configuration that the server runs with was taken over, Unix seconds.",
)
PROCESS_MEMORY = Family(
    "qualitrace_process_memory_bytes",
    "gauge",
    "Resident memory of supervisor, receive or work, each with the processes that it started for itself (Linux).",
    ("process",),
)
PROCESS_CPU = Family(
    "qualitrace_process_cpu_seconds_total",
    "counter",
    "Processor time of supervisor, receive or work; a process that is started again begins at 0 (Linux).",
    ("process",),
)
PROCESS_FILES = Family(
    "qualitrace_process_open_fds",
    "gauge",
    "Open files and connections of supervisor, receive or work (Linux).",
    ("process",),
)

_OF_ALERT = ("alert", "service", "judge", "tier")
ALERT_EVIDENCE = Family(
    "qualitrace_alert_evidence",
    "gauge",
    "Evidence (an e-value) that the alert's condition holds. The alert fires once it reaches the limit.",
    _OF_ALERT,
)
ALERT_LIMIT = Family(
    "qualitrace_alert_limit", "gauge", "Evidence at which the alert fires: 1 / the chance of a false alarm.", _OF_ALERT
)
_QUALITY = ("judge", "tier", "service", "window")
PASS_RATE = Family(
    "qualitrace_pass_rate",
    "gauge",
    "Share of passes among passes and fails over the window; absent while all scores are unsure.",
    _QUALITY,
)
PASS_RATE_LOWER = Family(
    "qualitrace_pass_rate_lower",
    "gauge",
    "Lower end of the pass rate's 95 % confidence interval at one look, where all unsure scores fail.",
    _QUALITY,
)
PASS_RATE_UPPER = Family(
    "qualitrace_pass_rate_upper",
    "gauge",
    "Upper end of the pass rate's 95 % confidence interval at one look, where all unsure scores pass.",
    _QUALITY,
)
PASS_RATE_SAMPLES = Family(
    "qualitrace_pass_rate_samples", "gauge", "Scores that the estimate of the pass rate rests on.", _QUALITY
)
PASS_RATE_CORRECTED = Family(
    "qualitrace_pass_rate_corrected",
    "gauge",
    "Pass rate corrected for the judge's error by experts' labels; absent without a label.",
    _QUALITY,
)
PASS_RATE_CORRECTED_LOWER = Family(
    "qualitrace_pass_rate_corrected_lower",
    "gauge",
    "Lower end of the corrected pass rate's 95 % confidence interval.",
    _QUALITY,
)
PASS_RATE_CORRECTED_UPPER = Family(
    "qualitrace_pass_rate_corrected_upper",
    "gauge",
    "Upper end of the corrected pass rate's 95 % confidence interval.",
    _QUALITY,
)
PASS_RATE_CORRECTED_LABELS = Family(
    "qualitrace_pass_rate_corrected_labels",
    "gauge",
    "Labelled answers that the corrected pass rate rests on.",
    _QUALITY,
)
MEAN_SCORE = Family("qualitrace_mean_score", "gauge", "Mean score over the window.", _QUALITY)
MEAN_SCORE_LOWER = Family(
    "qualitrace_mean_score_lower",
    "gauge",
    "Lower end of the mean score's 95 % interval at one look.",
    _QUALITY,
)
MEAN_SCORE_UPPER = Family(
    "qualitrace_mean_score_upper",
    "gauge",
    "Upper end of the mean score's 95 % interval at one look.",
    _QUALITY,
)
UNSURE_SHARE = Family("qualitrace_unsure_share", "gauge", "Share of scores over the window that are unsure.", _QUALITY)

_RELEASE = ("judge", "tier", "service", "release")
RELEASE_PASS_RATE = Family(
    "qualitrace_release_pass_rate",
    "gauge",
    "Share of passes among passes and fails since the first score of the newest release; a session counts once.",
    _RELEASE,
)
RELEASE_PASS_RATE_LOWER = Family(
    "qualitrace_release_pass_rate_lower",
    "gauge",
    "Lower end of its 95 % confidence sequence, which holds at every look.",
    _RELEASE,
)
RELEASE_PASS_RATE_UPPER = Family(
    "qualitrace_release_pass_rate_upper",
    "gauge",
    "Upper end of its 95 % confidence sequence, which holds at every look.",
    _RELEASE,
)
RELEASE_PASS_RATE_SAMPLES = Family(
    "qualitrace_release_pass_rate_samples", "gauge", "Single scores and sessions that it rests on.", _RELEASE
)

ALERT_STATE = Family(
    "qualitrace_alert_state",
    "gauge",
    "1 while the alert is in the state (pending or firing), else 0.",
    ("alert", "service", "judge", "severity", "state"),
)
NOTIFICATIONS = Family(
    "qualitrace_notifications_total",
    "counter",
    "Notifications by outcome: sent or given_up; failed counts attempts that are repeated.",
    ("receiver", "outcome"),
)
NOTIFICATIONS_WAITING = Family(
    "qualitrace_notifications_waiting", "gauge", "Notifications that wait for their receiver.", ("receiver",)
)
NOTIFICATIONS_OLDEST = Family(
    "qualitrace_notifications_oldest_seconds",
    "gauge",
    "For how long the oldest notification has waited for the receiver; absent if none waits.",
    ("receiver",),
)
NOTIFICATION_LAST_SENT = Family(
    "qualitrace_notification_last_sent_timestamp_seconds",
    "gauge",
    "When the receiver last took a notification, in Unix time; absent if it never did. `qualitrace_up` of "
    "`receiver:NAME` is 0 while it does not take the last one.",
    ("receiver",),
)

FAMILIES = tuple(family for family in list(globals().values()) if isinstance(family, Family))
