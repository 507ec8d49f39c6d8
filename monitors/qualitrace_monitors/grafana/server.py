"""The dashboard of qualitrace itself: what comes in, what waits, what is lost, what is sent, what it takes."""

from qualitrace_monitors.grafana.board import Place, Row, dashboard
from qualitrace_monitors.grafana.panels import (
    COUNT,
    PER_SECOND,
    PERCENT,
    RATE,
    SECONDS,
    Json,
    Query,
    lines,
    or_zero,
    stat,
    states,
    steps,
)

UID = "qualitrace-server"


def server(web: str) -> Json:
    """Return the dashboard; `web` is the address of the web port."""
    rows = [
        Row("Health", _health()),
        Row("What comes in", _intake()),
        Row("From the journal to the scores", _pipeline()),
    ]
    rows += [Row("Notifications", _notifications()), Row("Processes", _processes())]
    about = "Whether qualitrace does its work: intake, backlog, judges, notifications, processes."
    return dashboard(UID, "qualitrace: the service itself", about, [], rows, web)


def _rate(counter: str, by: str) -> str:
    return f"sum by ({by}) (rate({counter}{RATE}))"


def _health() -> list[Place]:
    good_or_bad = {1: ("works", "green"), 0: ("broken", "red")}
    bad = steps((1, "red"))
    return [
        Place(
            states(
                "Components",
                "What `/readyz` says of each.",
                Query("min by (component) (qualitrace_up)", "{{component}}"),
                good_or_bad,
            ),
            16,
            8,
        ),
        Place(
            stat(
                "Dead letters",
                "Traces and requests that were given up, and wait for `qualitrace journal`.",
                Query("sum(qualitrace_dead_letters)"),
                unit=COUNT,
                limits=bad,
            ),
            4,
            4,
        ),
        Place(
            stat(
                "Restarts, 24 h",
                "Processes that died or hung, and were started again.",
                Query(or_zero("sum(increase(qualitrace_process_restarts_total[24h]))")),
                unit=COUNT,
                limits=bad,
            ),
            4,
            4,
        ),
        Place(
            stat(
                "Configuration",
                "1 if the server runs with what its file held at the last reload.",
                Query("min(qualitrace_config_last_reload_successful)"),
                unit=COUNT,
                limits=steps((1, "green"), first="red"),
            ),
            4,
            4,
        ),
        Place(
            stat(
                "Version",
                "Servers of each.",
                Query("count by (version) (qualitrace_build_info)", "{{version}}"),
                unit=COUNT,
            ),
            4,
            4,
        ),
    ]


def _intake() -> list[Place]:
    lost = or_zero(
        " or ".join(
            f'label_replace({_rate(f"qualitrace_otlp_{what}_total", "reason")}, "what", "{what}", "", "")'
            for what in ("requests_refused", "spans_rejected")
        )
    )
    return [
        Place(
            lines(
                "OTLP requests",
                "Taken a second, by door.",
                Query(_rate("qualitrace_otlp_requests_received_total", "door"), "{{door}}"),
                unit=PER_SECOND,
                min=0,
            ),
            6,
        ),
        Place(
            lines(
                "Spans",
                "Taken a second, by door.",
                Query(_rate("qualitrace_otlp_spans_received_total", "door"), "{{door}}"),
                unit=PER_SECOND,
                min=0,
            ),
            6,
        ),
        Place(
            lines(
                "Bytes",
                "Taken a second, by door.",
                Query(_rate("qualitrace_otlp_bytes_received_total", "door"), "{{door}}"),
                unit="Bps",
                min=0,
            ),
            6,
        ),
        Place(
            lines(
                "Refused and rejected",
                "Requests and spans a second, by reason.",
                Query(lost, "{{what}} {{reason}}"),
                unit=PER_SECOND,
                min=0,
            ),
            6,
        ),
    ]


def _pipeline() -> list[Place]:
    lacking = (
        f"{_rate('qualitrace_traces_lacking_total', 'content')} / {_rate('qualitrace_traces_checked_total', 'content')}"
    )
    return [
        Place(
            lines(
                "Traces",
                "By outcome, a second.",
                Query(_rate("qualitrace_traces_total", "outcome"), "{{outcome}}"),
                unit=PER_SECOND,
                min=0,
            ),
            8,
        ),
        Place(
            lines(
                "Journal",
                "Requests that were acked, and whose traces are not all stored yet.",
                Query("sum(qualitrace_journal_backlog_requests)", "requests"),
                unit=COUNT,
                min=0,
            ),
            8,
        ),
        Place(
            lines(
                "Oldest request in the journal",
                "It waits until its traces are complete and stored.",
                Query("max(qualitrace_journal_oldest_request_seconds)", "age"),
                unit=SECONDS,
                min=0,
            ),
            8,
        ),
        Place(
            lines(
                "Samples that wait",
                "By judge.",
                Query("sum by (judge) (qualitrace_judgements_waiting)", "{{judge}}"),
                unit=COUNT,
                min=0,
            ),
            8,
        ),
        Place(
            lines(
                "Judgements",
                "By judge and outcome, a second.",
                Query(_rate("qualitrace_judgements_total", "judge, outcome"), "{{judge}} {{outcome}}"),
                unit=PER_SECOND,
                min=0,
            ),
            8,
        ),
        Place(
            lines(
                "Traces that lack content",
                "Share by content: `qualitrace doctor` says what to do.",
                Query(lacking, "{{content}}"),
                unit=PERCENT,
                min=0,
                max=1,
            ),
            8,
        ),
    ]


def _notifications() -> list[Place]:
    last = "time() - max by (receiver) (qualitrace_notification_last_sent_timestamp_seconds)"
    return [
        Place(
            lines(
                "Notifications",
                "By receiver and outcome, a second.",
                Query(
                    or_zero(_rate("qualitrace_notifications_total", "receiver, outcome")), "{{receiver}} {{outcome}}"
                ),
                unit=PER_SECOND,
                min=0,
            ),
            8,
        ),
        Place(
            lines(
                "Notifications that wait",
                "By receiver.",
                Query(or_zero("sum by (receiver) (qualitrace_notifications_waiting)"), "{{receiver}}"),
                unit=COUNT,
                min=0,
            ),
            8,
        ),
        Place(
            lines(
                "Since the last notification",
                "By receiver, if it ever took one.",
                Query(last, "{{receiver}}"),
                unit=SECONDS,
                min=0,
            ),
            8,
        ),
    ]


def _processes() -> list[Place]:
    return [
        Place(
            lines(
                "Memory",
                "Resident, by process.",
                Query("sum by (process) (qualitrace_process_memory_bytes)", "{{process}}"),
                unit="bytes",
                min=0,
            ),
            8,
        ),
        Place(
            lines(
                "Processor",
                "Cores that each process uses.",
                Query(_rate("qualitrace_process_cpu_seconds_total", "process"), "{{process}}"),
                unit=COUNT,
                min=0,
            ),
            8,
        ),
        Place(
            lines(
                "Open files",
                "And connections, by process.",
                Query("sum by (process) (qualitrace_process_open_fds)", "{{process}}"),
                unit=COUNT,
                min=0,
            ),
            8,
        ),
    ]
