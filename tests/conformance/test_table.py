"""The table of requirements and the tests belong together."""

import re
from pathlib import Path

FOLDER = Path(__file__).parent


def test_the_table_names_exactly_the_tests() -> None:
    """Each test of a requirement has one row in the README, and each row's test exists; rows are numbered through."""
    rows = re.findall(r"^\| (\d+) \|.*$", table := (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert [int(number) for number in rows] == list(range(1, len(rows) + 1))
    files = [path for path in FOLDER.glob("test_*.py") if path != Path(__file__)]
    tests = [name for path in files for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)]
    assert sorted(re.findall(r"\btest_\w+(?= \|)", table)) == sorted(tests)
