"""The dashboards: what they ask is exported, what they say is Grafana's schema, and the files beside are up to date."""

import itertools
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from qualitrace_collector import metrics as collector_metrics
from qualitrace_monitors.grafana.command import BOARDS, dashboards
from qualitrace_monitors.metrics import families
from support.grafana import queries
from support.node import NODE, install

ROOT = Path(__file__).parents[3]
WEB = "https://quality.example"
FOUND = {board["uid"]: board for board in (make(WEB) for make in BOARDS)}
EVERY_BOARD = pytest.mark.parametrize("board", FOUND.values(), ids=FOUND.keys())
LABELS = {family.name: family.labels for family in (*collector_metrics.FAMILIES, *families.FAMILIES)}
SCHEMA = Path(__file__).parent / "schema"


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def test_the_files_beside_are_up_to_date(tmp_path: Path) -> None:
    """`qualitrace dashboards --out deploy/grafana` would change nothing."""
    assert CliRunner().invoke(dashboards, ["--out", str(tmp_path)]).exit_code == 0
    written, beside = ({str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
                       for folder in (tmp_path, ROOT / "deploy" / "grafana"))  # fmt: skip
    assert written == beside, "run: qualitrace dashboards --out deploy/grafana"


def test_readers_come_to_the_web_port_by_its_external_address(tmp_path: Path) -> None:
    """From values, and from exemplars, whose trace ids are without MLflow's prefix."""
    config = tmp_path / "qualitrace.yaml"
    config.write_text(f"listen: {{web_external_url: '{WEB}'}}")
    options = ["--config", str(config), "--out", str(tmp_path), "--prometheus", "http://prometheus:9090"]
    assert CliRunner().invoke(dashboards, options).exit_code == 0
    (source,) = yaml.safe_load((tmp_path / "provisioning/datasources/qualitrace.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["exemplarTraceIdDestinations"][0]["url"] == f"{WEB}/trace/tr-$${{__value.raw}}"
    board = json.loads((tmp_path / "dashboards/qualitrace-overview.json").read_text())
    assert [v["query"] for v in board["templating"]["list"] if v["name"] == "web"] == [WEB]


@EVERY_BOARD
def test_every_metric_and_label_of_a_query_is_exported(board: dict[str, Any]) -> None:
    """Also where an expression is 0 without data, and so can not be told from one whose name is wrong."""
    asked = [query.expr for query in queries(board)]
    asked += [variable["query"]["query"] for variable in board["templating"]["list"] if variable["type"] == "query"]
    for expr in asked:
        names = re.findall(r"\b(?:qualitrace|gen_ai_client)_\w+", expr)
        assert names, expr
        known = [LABELS[name if name in LABELS else re.sub(r"_(bucket|count|sum)$", "", name)] for name in names]
        labels = {"le", "what", *itertools.chain(*known)}
        by = [label.strip() for group in re.findall(r"by \(([^)]*)\)", expr) for label in group.split(",")]
        assert labels.issuperset(by), expr
        assert labels.issuperset(re.findall(r"(\w+)(?:=~|!=|=)\"", expr)), expr


@EVERY_BOARD
def test_a_panel_says_what_it_shows(board: dict[str, Any]) -> None:
    """By title, description and unit; a reader who sees it at night has nothing else."""
    for panel in panels(board):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        unit = panel.get("fieldConfig", {"defaults": {"unit": "-"}})["defaults"].get("unit")
        assert unit or panel["type"] == "heatmap", panel["title"]


@EVERY_BOARD
def test_panels_do_not_overlap(board: dict[str, Any]) -> None:
    """Grafana would move them; each has a number of its own."""
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not taken & cells, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


@EVERY_BOARD
def test_the_data_source_and_all_else_is_a_variable(board: dict[str, Any]) -> None:
    """No panel is tied to one Prometheus, and no variable is missing."""
    declared = {variable["name"] for variable in board["templating"]["list"]}
    text = json.dumps(board)
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval", "__range", "__data", "__all"}
    assert used == declared
    sources = {panel["datasource"]["uid"] for panel in panels(board) if "datasource" in panel}
    assert sources == {"${datasource}"}


def test_links_lead_to_dashboards_that_are_there() -> None:
    """From one dashboard to another by its uid."""
    found = {uid for board in FOUND.values() for uid in re.findall(r"/d/([\w-]+)", json.dumps(board))}
    assert found
    assert found <= FOUND.keys()


KINDS = {
    "timeseries": "timeseries/panelcfg/x/TimeSeriesPanelCfg",
    "stat": "stat/panelcfg/x/StatPanelCfg",
    "table": "table/panelcfg/x/TablePanelCfg",
    "heatmap": "heatmap/panelcfg/x/HeatmapPanelCfg",
    "state-timeline": "statetimeline/panelcfg/x/StateTimelinePanelCfg",
}
HEAD = """\
import type {AnnotationQuery, Dashboard, DataQuery, Panel} from '@grafana/schema';
// What Prometheus' data source adds.
type Mark = AnnotationQuery<DataQuery & {expr: string}> & {titleFormat: string; textFormat: string; tagKeys: string};
type Board = Omit<Dashboard, 'annotations'> & {annotations: {list: Mark[]}};
type Typed<Options, Fields> = Omit<Panel<{}, Fields>, 'options'> & {options: Options};
// JSON has the values of enums, not their names.
type Plain<T> = T extends string ? `${T}` : T extends object ? {[K in keyof T]: Plain<T[K]>} : T;
"""


def checked() -> Iterator[str]:
    """Yield a program that is right if the dashboards are of Grafana's types: each panel of those of its kind."""
    yield HEAD
    for kind, path in KINDS.items():
        name = kind.replace("-", "")
        yield f"import type * as {name} from '@grafana/schema/dist/esm/raw/composable/{path}_types.gen';\n"
    for board in FOUND.values():
        yield f"({json.dumps(board, indent=1)}) satisfies Plain<Board>;\n"
        for panel in panels(board):
            if panel["type"] in KINDS:
                name = panel["type"].replace("-", "")
                fields = "{}" if name == "stat" else f"{name}.FieldConfig"
                yield f"({json.dumps(panel, indent=1)}) satisfies Plain<Typed<{name}.Options, {fields}>>;\n"


@pytest.mark.slow
def test_the_dashboards_are_of_grafanas_types(pytestconfig: pytest.Config) -> None:
    """By `@grafana/schema` and TypeScript, which take no setting that a panel does not have, and find a wrong one."""
    folder = pytestconfig.cache.mkdir("grafana-schema")
    install(SCHEMA, folder)
    program = "".join(checked())
    assert type_errors(folder, program) == []
    broken = program.replace('"showPoints": "auto"', '"showPoints": "perhaps"').replace('"mergeValues"', '"merge"')
    found = " ".join(type_errors(folder, broken))
    assert '"perhaps"' in found
    assert '"merge"' in found


def type_errors(folder: Path, program: str) -> list[str]:
    (folder / "check.ts").write_text(program)
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022", "check.ts"]
    command = [NODE, "node_modules/typescript/bin/tsc", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout.splitlines()
