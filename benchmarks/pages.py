"""Times the pages of the web port over a real server, with a month of scores stored, and weighs them.

    PYTHONPATH=tests python benchmarks/pages.py [--scores 1000000] [--times 15] [--folder FOLDER]

A page's size is that of its HTML, uncompressed, and of the scripts and styles that it loads. With `--folder` the
database is kept there, and used again the next time; filling it takes minutes.
"""

import argparse
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urljoin

import httpx

from machine import environment
from qualitrace_collector.state import Database
from support.many_scores import JUDGES, Load, fill
from support.page_addresses import addresses
from support.web import NOW, WebStand

_LOADED = re.compile(r'<(?:script|link)[^>]* (?:src|href)="([^"]+)"')


def main() -> None:
    """Fill the database, read each page that many times, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder: Path = arguments.folder or Path(temporary)
        database = Database(folder / "state.db")
        if not database.rows("SELECT 1 FROM score LIMIT 1"):
            begun = time.perf_counter()
            fill(database, Load(scores=arguments.scores, until=NOW - 5))
            print(f"filled in {time.perf_counter() - begun:.0f} s")
        (scores,) = database.rows("SELECT count(*) FROM score")[0]
        print(environment(sys.argv, folder, ["starlette", "jinja2"]))
        print(f"{scores:,} scores, {(folder / 'state.db').stat().st_size / 1e9:.1f} GB\n")
        _measure(database, arguments.times)
        database.close()


def _measure(database: Database, times: int) -> None:
    judges = JUDGES[:-3]
    rules = [{"name": f"low-{judge}", "judge": judge, "when": "pass_rate < 0.9"} for judge in judges]
    web = WebStand(database, {"alerts": rules, "judges": [*judges]})
    web.alerts.evaluate(NOW)
    print("| page | status | median ms | max ms | HTML kB | with what it loads kB |\n|---|---|---|---|---|---|")
    with web.server, httpx.Client(headers={"Accept-Encoding": "identity"}, timeout=60) as client:
        for address in (address for of_page in addresses(NOW).values() for address in of_page):
            url = web.url + address
            answer = client.get(url)
            took: list[float] = []
            for _ in range(times):
                begun = time.perf_counter()
                client.get(url)
                took.append(1000 * (time.perf_counter() - begun))
            loaded = {urljoin(url, part.replace("&amp;", "&")) for part in _LOADED.findall(answer.text)}
            weight = len(answer.content) + sum(len(client.get(each).content) for each in loaded)
            print(
                f"| `{address}` | {answer.status_code} | {statistics.median(took):.0f} | {max(took):.0f} "
                f"| {len(answer.content) / 1000:.0f} | {weight / 1000:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
