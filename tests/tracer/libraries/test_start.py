"""What is not traced is said once, with the command that fixes it; a second instrumentor is kept away."""

import importlib.metadata
import os
import re
import zipfile
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tracer.libraries.test_table import add_distribution

RIVAL = """
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor

class Rival(BaseInstrumentor):
    def instrumentation_dependencies(self):
        return ("OpenAI >= 1",)
    def _instrument(self, **kwargs):
        print("rival is on")
    def _uninstrument(self, **kwargs):
        pass
"""


def run(programs: Any, code: str, **variables: str) -> Any:
    done = programs.run("import qualitrace\n" + code, **variables)
    assert done.code == 0, done.errors
    return done


def test_missing_instrumentor(programs: Any) -> None:
    """The import of a library whose instrumentor is missing costs one line with the command; without it, none."""
    add_distribution(programs.directory, "cohere", "7.1.0")
    done = run(programs, "qualitrace.init()\nimport cohere\nimport cohere")
    assert done.errors.splitlines() == ["cohere is not traced: pip install 'qualitrace[cohere]'"]
    assert run(programs, "qualitrace.init()").errors == ""


def test_roots_name_what_is_not_traced(programs: Any, collector: Any) -> None:
    """So that `qualitrace doctor` can say it, too; spans below the root, and those before the import, have no word."""
    add_distribution(programs.directory, "cohere", "7.1.0")
    code = """
qualitrace.init()
with qualitrace.span("before"):
    pass
import cohere
with qualitrace.span("root"), qualitrace.span("below"):
    pass
"""
    run(programs, code, QUALITRACE_ENDPOINT=collector.endpoint)
    named = {span.name: span.attributes.get("qualitrace.untraced_libraries") for span in collector.wait(3)}
    assert named == {"before": None, "root": ["cohere"], "below": None}


BEDROCK = """
import botocore.session
session = botocore.session.get_session()
for service in {services}:
    session.create_client(service, region_name="eu-central-1", aws_access_key_id="k", aws_secret_access_key="k")
"""


def test_boto3_counts_by_its_service(programs: Any) -> None:
    """Only an app that makes a client of Bedrock hears that the instrumentor of Bedrock is missing, and once."""
    add_distribution(programs.directory, "boto3", "1.44.0")
    code = "qualitrace.init()\n" + BEDROCK
    assert run(programs, code.format(services=["s3", "sqs"])).errors == ""
    done = run(programs, code.format(services=["s3", "bedrock-runtime", "bedrock-agent-runtime"]))
    assert done.errors.splitlines() == ["boto3 is not traced: pip install 'qualitrace[boto3]'"]


HIDDEN = "qualitrace.init(capture={wanted!r})\nimport os\nprint(os.environ.get('OPENINFERENCE_HIDE_INPUTS'))"


def test_content_of_other_families(programs: Any) -> None:
    """Without content instrumentors of other families are told to leave it out, whatever their own variable says."""
    assert run(programs, HIDDEN.format(wanted="redacted")).output == "None\n"
    assert run(programs, HIDDEN.format(wanted="none"), OPENINFERENCE_HIDE_INPUTS="false").output == "true\n"


STUB = """
import sys, types
name = "openinference.instrumentation.cohere"
sys.modules[name] = module = types.ModuleType(name)
class CohereInstrumentor:
    def instrument(self, **kwargs):
        import {needs}
        print("cohere is traced")
module.CohereInstrumentor = CohereInstrumentor
"""


def test_broken_instrumentor_is_no_missing_one(programs: Any) -> None:
    """An instrumentor that is installed and lacks something else is not reported as missing."""
    add_distribution(programs.directory, "cohere", "7.1.0")
    done = run(programs, STUB.format(needs="lacking") + "qualitrace.init()\nimport cohere")
    assert done.errors.splitlines() == ["cohere is not traced: ModuleNotFoundError: No module named 'lacking'"]


def test_untested_version(programs: Any) -> None:
    """A version out of the tested range is traced, and one line says so."""
    add_distribution(programs.directory, "cohere", "99.0")
    done = run(programs, STUB.format(needs="sys") + "qualitrace.init()\nimport cohere")
    assert done.output == "cohere is traced\n"
    (line,) = done.errors.splitlines()
    assert line.startswith("cohere 99.0 is traced, but only versions ")


def test_module_of_the_same_name(programs: Any) -> None:
    """The app's own package `agents` is not OpenAI's, and nothing is said of it."""
    programs.write("", "agents.py")
    assert run(programs, "qualitrace.init()\nimport agents").errors == ""


def test_variables_of_libraries_follow_the_content_setting(programs: Any) -> None:
    """A library's own switch for content is on unless the app has set it, and off where content is not wanted."""
    code = "import os\nqualitrace.init()\nprint(os.environ['ENABLE_SENSITIVE_DATA'])"
    assert run(programs, code).output == "true\n"
    assert run(programs, code, ENABLE_SENSITIVE_DATA="false").output == "false\n"
    off = run(programs, code, ENABLE_SENSITIVE_DATA="true", QUALITRACE_CAPTURE="none")
    assert off.output == "false\n"


def test_later_rival_is_refused(programs: Any) -> None:
    """An instrumentor of a library that is traced already does not start, and the line names the way out."""
    programs.write(RIVAL, "rival.py")
    code = "qualitrace.init()\nimport openai, rival\nrival.Rival().instrument()\nqualitrace.instrument(rival.Rival)"
    done = run(programs, code)
    assert done.output == ""
    assert len(done.errors.splitlines()) == 2
    assert "rival.Rival is refused: qualitrace traces openai already" in done.errors
    done = run(programs, code, QUALITRACE_INSTRUMENT="-openai")
    assert done.output.splitlines()[0] == "rival is on"
    assert "refused" not in done.errors


def test_earlier_rival_stays(programs: Any, collector: Any, llm: str) -> None:
    """A library that the app has given another instrumentor is left to it, and the line names it."""
    programs.write(RIVAL, "rival.py")
    done = run(programs, "import rival\nrival.Rival().instrument()\nqualitrace.init()\nimport openai")
    assert done.output == "rival is on\n"
    assert done.errors.splitlines() == ["openai is left to rival.Rival, which traces it already"]


def test_same_instrumentor_of_the_app(programs: Any) -> None:
    """An app that started the instrumentor of our choice itself loses nothing, and nothing is said."""
    done = run(
        programs,
        """
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
OpenAIInstrumentor().instrument()
qualitrace.init()
import openai
print(type(openai.resources.chat.completions.Completions.create).__name__)
""",
    )
    assert done.errors == ""
    assert "Wrapper" in done.output


def test_instrument_takes_anything(programs: Any) -> None:
    """Something that is not an instrumentor costs a warning, not an exception."""
    done = run(programs, "qualitrace.init()\nqualitrace.instrument('openai')\nprint('on')")
    assert done.output == "on\n"
    assert "takes an object with a method instrument, not 'openai'" in done.errors


def bootstrap(programs: Any, *arguments: str, **variables: str) -> Any:
    path = os.pathsep.join([str(programs.directory), os.environ.get("PYTHONPATH", "")])
    return programs.run(
        "import sys, qualitrace.cli\nqualitrace.cli.main(sys.argv[1:])",
        "bootstrap",
        *arguments,
        PYTHONPATH=path,
        **variables,
    )


def test_bootstrap(programs: Any) -> None:
    """The command lists what is installed, and fails while an instrumentor is missing."""
    add_distribution(programs.directory, "cohere", "7.1.0")
    done = bootstrap(programs)
    assert done.code == 1, done.errors
    lines = [line.split(maxsplit=2) for line in done.output.splitlines()]
    assert ["cohere", "7.1.0", "not traced"] in lines
    assert re.search(r"pip install 'qualitrace\[[a-z,-]*\bcohere\b", done.output)
    requirements = bootstrap(programs, "--requirements")
    assert requirements.code == 0
    assert "openinference-instrumentation-cohere>=" in requirements.output


def make_wheel(folder: Path, distribution: str, version: str = "0.99", requires: str = "") -> None:
    """Make an installable distribution without content, by default of a version that the table takes."""
    name = f"{distribution.replace('-', '_')}-{version}"
    metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.dist-info/METADATA", metadata)
        wheel.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}.dist-info/RECORD", "")


def test_bootstrap_installs_what_fits_the_sdk(programs: Any, tmp_path_factory: Any) -> None:
    """`--install` brings the missing instrumentors by pip, in the release for the SDK's API.

    Here from a folder, into a folder. The newest release needs an API that no SDK there goes with.
    """
    groq = "opentelemetry-instrumentation-groq"
    add_distribution(programs.directory, "groq", "1.1.0")
    wheels, target = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("target")
    missing = {Requirement(text).name for text in bootstrap(programs, "--requirements").output.split()}
    present = {canonicalize_name(distribution.name) for distribution in importlib.metadata.distributions()}
    for name in missing | {name for name in present if name.startswith("opentelemetry-")}:
        make_wheel(wheels, name, requires="opentelemetry-api==0.99" if name == "opentelemetry-sdk" else "")
    make_wheel(wheels, groq, requires="opentelemetry-api==0.99")
    make_wheel(wheels, groq, "0.99.1", requires="opentelemetry-api==0.99.1")
    make_wheel(wheels, "opentelemetry-api", "0.99.1")
    done = bootstrap(programs, "--install", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(wheels), PIP_TARGET=str(target))
    assert done.code == 0, done.output + done.errors
    installed = {found.name: found.version for found in importlib.metadata.distributions(path=[str(target)])}
    assert missing <= installed.keys()
    assert installed[groq] == installed["opentelemetry-api"] == "0.99"
