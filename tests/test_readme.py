"""The READMEs tell the truth: what they show is read from them and compared or run."""

import base64
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import httpx
import pytest
import yaml
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from standardwebhooks import Webhook

from qualitrace_collector.config import load_config
from qualitrace_collector.config.values import Address, Duration, Identifier
from qualitrace_monitors.alerts.settings import Condition
from qualitrace_monitors.config import Config
from qualitrace_monitors.demo.llm import model_app
from qualitrace_monitors.demo.stage import served
from support.ports import free_port
from support.serving import QUALITRACE, environment
from support.waiting import eventually
from support.web import program

ROOT = Path(__file__).parents[1]
PAGES = "\n".join((ROOT / path).read_text() for path in ("README.md", "docs/configure.md", "docs/alerts.md"))
SECRET = "whsec_" + base64.b64encode(b"r" * 32).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"o" * 32).decode()
SHOWN = {name: text for text, name in re.findall(r"```(?:yaml|python)\n(# (\S+)\n.*?)```", PAGES, re.DOTALL)}
"""The files that the pages show, by the name in their first line."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with the shown files, as a reader saves them."""
    for name, text in SHOWN.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def pages() -> list[Path]:
    """Return every page of the documentation."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/**/*.md")])


def rows(path: str, heading: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the first table below a heading of a README."""
    lines = ("\n" + (ROOT / path).read_text()).split(f"\n{heading}\n", 1)[1].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|---"))
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


TYPES = {
    "str": "text", "float": "number", "int": "integer", "bool": "true or false", "Path": "path", "SecretStr": "secret",
    "AnyHttpUrl": "URL", "ByteSize": "size", "Condition": "condition", "tuple": "list", "dict": "mapping",
}  # fmt: skip
MARKED_TYPES = {
    get_args(Duration)[1]: "duration",
    get_args(Address)[1]: "host:port",
    get_args(Identifier)[-1]: "name",
}
"""Types that are told by the validator they bring."""


def type_of(annotation: Any, metadata: list[Any]) -> str:
    """Say the type of a key in the table's words."""
    for marker, word in MARKED_TYPES.items():
        if marker in metadata:
            return word
    if get_origin(annotation) is Annotated:
        return type_of(annotation.__origin__, list(annotation.__metadata__))
    arguments = [argument for argument in get_args(annotation) if argument is not type(None)]
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if get_origin(annotation) is tuple and not section_in(annotation):
        return f"list of {type_of(arguments[0], [])}"
    if type(None) in get_args(annotation):
        return "section" if section_in(annotation) else type_of(arguments[0], [])
    return TYPES[(get_origin(annotation) or annotation).__name__]


def section_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that a key holds, alone, optional, in a list or in a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return None if annotation is Condition else annotation
    return next((model for argument in get_args(annotation) if (model := section_in(argument))), None)


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every key of the configuration as the table writes it, with its field."""
    for name, field in model.model_fields.items():
        key, section = prefix + (field.alias or name), section_in(field.annotation)
        if section is not field.annotation:
            yield key, field
        if section is not None:
            infix = {tuple: "[]", dict: ".<name>"}.get(get_origin(field.annotation) or section, "")
            yield from keys(section, f"{key}{infix}.")


def has_default(field: FieldInfo, cell: str) -> bool:
    """Whether a key's default is what the table says: required, none, or a value as YAML."""
    if cell == "required" or field.is_required():
        return cell == "required" and field.is_required()
    default = field.get_default(call_default_factory=True)
    if cell == "none" or default is None:
        return cell == "none" and default is None
    checked = TypeAdapter(Annotated[(field.annotation, "", *field.metadata)])
    return checked.validate_python(yaml.safe_load(cell.strip("`"))) == default


def test_the_configuration_table_is_that_of_the_models():
    """Every key, in the models' order, with its type and its default; none is missing or invented."""
    table = list(rows("docs/configuration.md", "# Configuration"))
    fields = dict(keys(Config))
    assert [row[0].strip("`") for row in table] == list(fields)
    for (key, word, default, meaning), field in zip(table, fields.values(), strict=True):
        assert word == type_of(field.annotation, field.metadata), key
        assert has_default(field, default), f"{key}: {default}"
        assert meaning, key


@pytest.mark.parametrize("name", ["qualitrace.yaml", "ops.yaml"])
def test_the_shown_configurations_load(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch):
    """By the real loader, with the secret that the text exports."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    assert load_config(folder / name, Config).sampling.rate == 1


def test_check_config_prints_what_is_shown(folder: Path):
    """Line by line, for the shown file with mistakes."""
    (shown,) = re.findall(r"```console\n\$ qualitrace check-config bad.yaml\n(.*?)```", PAGES, re.DOTALL)
    done = run("check-config", "bad.yaml", folder=folder)
    assert (done.returncode, done.stderr) == (1, shown)


def test_promtool_takes_the_shown_scrape_configuration(folder: Path):
    """Prometheus' own checker reads it."""
    command = [program("promtool", "prometheus"), "check", "config", str(folder / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_shown_app_answers_from_its_passages(folder: Path):
    """Under `qualitrace run` with the stand-in model, and nothing at the collector's address."""
    with served(model_app()) as url:
        settings = {
            "OPENAI_BASE_URL": f"{url}/v1",
            "OPENAI_API_KEY": "none",
            "QUALITRACE_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        }
        question = "How long does the warranty of a tent last?"
        done = run("run", sys.executable, "app.py", question, folder=folder, **settings)
    assert done.stdout == "The warranty of a tent lasts 24 months from the day of purchase.\n", done.stderr


def test_the_shown_receiver_takes_signed_alerts_alone(folder: Path):
    """It prints a payload under a good signature, and answers 401 to one under another key's."""
    payload = '{"alerts": [{"status": "firing", "annotations": {"summary": "it fell"}}]}'
    with hook(folder) as (process, url):
        forged, genuine = (
            httpx.post(url, content=payload, headers=signed(key, payload)) for key in (OTHER_SECRET, SECRET)
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "firing it fell\n"
    assert (forged.status_code, genuine.status_code) == (401, 204)


@pytest.mark.parametrize("path", [str(page.relative_to(ROOT)) for page in pages()])
def test_links_between_files_lead_somewhere(path: str):
    """To a file of the repository, and to a heading in it where the link names one."""
    for link in re.findall(r"]\((?!https?:)([^)]+)\)", (ROOT / path).read_text()):
        target, _, anchor = link.partition("#")
        file = (ROOT / path).parent / target
        assert file.exists(), link
        assert not anchor or anchor in anchors(file.read_text()), link


def anchors(text: str) -> set[str]:
    """Return the names that GitHub gives to the headings of a page."""
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def run(*arguments: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `qualitrace` as a reader does."""
    return subprocess.run(
        [*QUALITRACE, *arguments],
        cwd=folder,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def signed(secret: str, payload: str) -> Mapping[str, str]:
    """Make the headers of a webhook."""
    identifier, now = uuid.uuid4().hex, datetime.now(UTC)
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(identifier, now, payload),
    }


@contextmanager
def hook(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the shown receiver on a free port."""
    port = free_port()
    script = (folder / "hook.py").read_text().replace("9000", str(port))
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment(HOOK_SECRET=SECRET),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    url = f"http://127.0.0.1:{port}/alerts"
    try:
        eventually(lambda: httpx.get(url).status_code == 501)
        yield process, url
    finally:
        process.terminate()
        process.wait(10)
