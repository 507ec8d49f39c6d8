"""How a line of the log is written: as text, or as JSON for what collects logs."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from qualitrace_collector.process.log_limit import ShortFormatter, shortened


class JsonFormatter(logging.Formatter):
    """Writes one object a line: `time` (RFC 3339), `level`, `logger`, `message`, and `exception` if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": shortened(record.getMessage()),
        }
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            line["exception"] = shortened(record.exc_text)
        if record.stack_info:
            line["stack"] = shortened(record.stack_info)
        return json.dumps(line, ensure_ascii=False)


FORMATS: Mapping[str, logging.Formatter] = {
    "text": ShortFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"),
    "json": JsonFormatter(),
}
LEVELS = ("debug", "info", "warning", "error", "critical")
