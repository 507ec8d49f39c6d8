"""Every block of the documentation does what its page says, for a reader who follows it. `tests/test_docs.py` checks syntax.

One folder holds the files that the pages show. One server runs, that of the tutorial; the files of other `qualitrace serve`
are checked. Pages that have a test of their own are named in `ELSEWHERE`.
"""

import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from support.mlflow_db import new_database
from support.snippets import Reader, Snippet, snippets
from support.waiting import eventually

pytestmark = pytest.mark.timeout(600)  # MLflow's pages alone take minutes to start on a busy machine
ALL = snippets()
ELSEWHERE = {
    "docs/how-to/evaluate.md": "test_evaluation_walkthrough.py",
    "docs/how-to/javascript.md": "tests/javascript",
    "docs/how-to/security.md": "tests/collector/receive/test_tls.py, with certificates",
    **{snippet.page: "test_runbooks.py" for snippet in ALL if snippet.page.startswith("docs/runbooks/")},
}
TRACE, ALERT = "docs/tutorial/first-trace.md", "docs/tutorial/first-alert.md"
RUNNABLE = ("sh", "console", "python")
PAGES = sorted({s.page for s in ALL if s.language in RUNNABLE and not s.is_only_shown} - {*ELSEWHERE, TRACE, ALERT})


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Give a reader who has followed the tutorial; its alert will fire within a minute."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "qualitrace-data").mkdir(mode=0o700)
    new_database(folder / "qualitrace-data")
    reader = Reader(folder, [snippet for snippet in ALL if snippet.page not in ELSEWHERE])
    try:
        alert = [snippet for snippet in ALL if snippet.page == ALERT]
        serving = next(number for number, snippet in enumerate(alert) if snippet.text.startswith("qualitrace serve"))
        for snippet in alert[:serving]:
            follow(reader, snippet)
        served = reader.start_aside(alert[serving].text)
        eventually(lambda: "qualitrace ready" in served.read_text(), timeout=90)
        for snippet in (*(snippet for snippet in ALL if snippet.page == TRACE), *alert[serving + 1 :]):
            follow(reader, snippet)
        reader.trace_id = eventually(lambda: first_trace(reader))
        yield reader
    finally:
        reader.close()


def first_trace(reader: Reader) -> str:
    """Return the id of the first trace that was scored."""
    with closing(sqlite3.connect(reader.folder / "qualitrace-data" / "state.db")) as connection:
        query = "SELECT trace_id FROM score ORDER BY scored_at LIMIT 1"
        return connection.execute(query).fetchone()[0]


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_work(page: str, reader: Reader):
    """One after the other, in the tutorial's folder, beside its server."""
    for snippet in ALL:
        if snippet.page == page:
            follow(reader, snippet)


def test_the_tutorial_ends_with_an_alert(reader: Reader):
    """Its receiver prints what the page says."""
    eventually(lambda: "firing groundedness of shop fell: pass rate " in reader.all_printed(), timeout=60)


def follow(reader: Reader, snippet: Snippet) -> None:
    """Do what a reader does with a block: save a file, which was done, or run a command and see it succeed."""
    if snippet.is_only_shown or snippet.text.startswith("qualitrace serve"):
        return  # `reader` serves
    if snippet.title.startswith("in a terminal"):
        reader.start_aside(snippet.text)
        wait_for_ports(reader, snippet.text)
    elif snippet.language == "console":
        compare(reader, snippet)
    elif snippet.language == "sh":
        succeed(reader, snippet, snippet.text)
    elif snippet.language == "python" and not snippet.file:
        (reader.folder / "snippet.py").write_text(reader.here(snippet.text))
        succeed(reader, snippet, "python snippet.py")


def succeed(reader: Reader, snippet: Snippet, script: str) -> None:
    code, printed = reader.run(script)
    assert code == 0, f"{snippet.page}:{snippet.line}: {printed}"
    wait_for_ports(reader, "\n".join(re.findall(r".+ &$", script, re.MULTILINE)))


def wait_for_ports(reader: Reader, started: str) -> None:
    """Wait until what was started listens, as a reader does who sees it say so."""
    for port in re.findall(r"--port (\d+)", reader.here(started)):
        eventually(lambda port=port: socket.create_connection(("127.0.0.1", int(port))).close() is None, timeout=240)


def compare(reader: Reader, snippet: Snippet) -> None:
    """See the command print what is shown, within a minute; of an example, only that it succeeds."""
    command, _, shown = snippet.text.removeprefix("$ ").partition("\n")
    if snippet.title == "an example":
        succeed(reader, snippet, command)
        return

    def is_shown() -> bool:
        _, printed = reader.run(f"{command} || true")
        assert form(printed) == form(shown), f"{snippet.page}:{snippet.line}"
        return True

    eventually(is_shown, timeout=60)


def form(text: str) -> str:
    """Leave out what differs from one run to the next: numbers, ids, and the widths of columns."""
    text = re.sub(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b[0-9a-f]{16,32}\b", "ID", text)
    return re.sub(r" +", " ", re.sub(r"\d[\d.,:TZ-]*", "#", text)).strip()
