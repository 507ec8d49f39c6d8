"""What each process sets up when it starts: logs, MLflow's settings, garbage collection, and what ends it."""

import ctypes
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType, TracebackType

from pydantic import SecretStr

from qualitrace_collector.masking import MaskedRecord
from qualitrace_collector.process.log_format import FORMATS, LEVELS
from qualitrace_collector.process.log_limit import LogLimit

_log = logging.getLogger(__name__)

# Loggers of libraries that are limited to warnings.
CHATTY_LOGGERS = ("alembic", "huey", "mlflow.store.db", "httpx", "httpcore", "uvicorn")

# The packages of this project: at the level DEBUG they alone say more, since libraries would log what users wrote.
OUR_LOGGERS = ("qualitrace", "qualitrace_collector", "qualitrace_monitors")

# Loggers whose failures this package logs itself, and the level from which on they are still shown.
LOGGED_BY_US = {
    "urllib3.connectionpool": logging.ERROR,  # it warns about each retry of a call to MLflow
    "mlflow.store.db.utils": logging.CRITICAL,  # it logs a refused statement with its values: what users wrote
    "opentelemetry.sdk._shared_internal": logging.CRITICAL,  # that the queue is full, while the endpoint is away
}

MLFLOW_ENVIRONMENT = {
    # Use the bundled price catalog: the first model span of a provider would otherwise wait for the network.
    "MLFLOW_MODEL_CATALOG_URI": "",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Our own loops retry, and must be able to stop between two attempts.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # It would print the tracking server's address with user and password.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # It would draw a bar for each file that it loads.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}

# Spans are many small objects without cycles. With Python's default of 700 objects each trace would start a search.
GARBAGE_THRESHOLDS = (100_000, 20, 20)

PARENT_CHECK_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

# The environment variables that say how to log; the processes of a server inherit them.
LEVEL_VARIABLE, FORMAT_VARIABLE = "QUALITRACE_LOG_LEVEL", "QUALITRACE_LOG_FORMAT"

# The environment variable that holds the parent's process id.
PARENT_VARIABLE = "QUALITRACE_PARENT_PID"


def configure_logging() -> None:
    """Log to standard error, without secrets and without floods; what ends the process is logged, too.

    `LEVEL_VARIABLE` and `FORMAT_VARIABLE` say from which level on, by default INFO, and in which form.
    """
    logging.setLogRecordFactory(MaskedRecord)
    logging.captureWarnings(True)
    sys.excepthook = _log_what_ends_us
    threading.excepthook = _log_what_ends_a_thread
    os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")  # it would write lines of its own form, without bounds
    chosen = os.environ.get(LEVEL_VARIABLE, "").lower()
    level = logging.getLevelNamesMapping()[chosen.upper() if chosen in LEVELS else "INFO"]
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter())
    handler.setLevel(level)
    handler.addFilter(LogLimit())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in OUR_LOGGERS:
        logging.getLogger(name).setLevel(level)
    for name, least in LOGGED_BY_US.items() | dict.fromkeys(CHATTY_LOGGERS, logging.WARNING).items():
        logging.getLogger(name).setLevel(least)


def _formatter() -> logging.Formatter:
    return FORMATS.get(os.environ.get(FORMAT_VARIABLE, "").lower(), FORMATS["text"])


def log_line(text: str, level: int = logging.INFO) -> str:
    """Return a line for who starts the server: as it is, or as the log's JSON, where everything is to be JSON."""
    formatter = _formatter()
    if formatter is not FORMATS["json"]:
        return text
    return formatter.format(MaskedRecord("qualitrace", level, __file__, 0, text, None, None))


def _log_what_ends_us(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    _log.critical("ended by an error", exc_info=(kind, error, traceback))


def _log_what_ends_a_thread(ended: threading.ExceptHookArgs) -> None:
    name = ended.thread.name if ended.thread else "without a name"
    _log.critical("the thread %s ended by an error", name, exc_info=ended.exc_value)


def apply_mlflow_settings(token: SecretStr | None = None) -> None:
    """Set MLflow's environment variables, except those that the user has set; call it before mlflow is imported.

    Args:
        token: for the tracking server.
    """
    for name, value in MLFLOW_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if token is not None:
        os.environ["MLFLOW_TRACKING_TOKEN"] = token.get_secret_value()  # MLflow reads it from nowhere else


@contextmanager
def without_garbage_collection() -> Generator[None]:
    """Look for no garbage in the block: imports leave next to none, and the search takes a quarter of their time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def collect_garbage_seldom() -> None:
    """Let Python look for garbage less often, and never among the objects that exist now; call it after the imports."""
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def stop_event() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set from now on; call it in the main thread.

    Wait for it with a timeout, again and again: a signal that another thread receives does not end a wait without one.
    """
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return stop


def leave_hangup_to_supervisor() -> None:
    """Ignore SIGHUP, in this process and in those that it starts: who signals all of a service means the supervisor."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def when_parent_ends(act: Callable[[], object], parent: int | None = None) -> None:
    """Call `act` in a thread when the parent process has ended, however it ended.

    Args:
        parent: its process id; by default the one in `PARENT_VARIABLE`, else that of the parent at this moment.
    """
    expected = parent or int(os.environ.get(PARENT_VARIABLE, os.getppid()))

    def watch() -> None:
        # A process whose parent has ended gets another one. Nothing but a look at its id works on macOS, too.
        while os.getppid() == expected:
            time.sleep(PARENT_CHECK_SECONDS)
        act()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def end_with_supervisor() -> None:
    """End at once when the parent process has ended, however it ended.

    What was acked is on disk. The next supervisor's processes go on with it, and wait until these have ended.
    """
    # The kernel ends also a process that hangs or is stopped, in which no thread could look.
    if sys.platform == "linux" and PARENT_VARIABLE in os.environ:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    when_parent_ends(lambda: os._exit(0))
