"""Any MLflow scorer as a judge: MLflow's own, `make_judge` judges, `@scorer` functions, third parties' by name.

`mlflow.Guidelines` is a class of `mlflow.genai.scorers`. `deepeval.Faithfulness` is one of MLflow's integration of
DeepEval; so are those of ragas, phoenix and trulens, whose packages are optional. `python:package.module:name` is a
scorer of the user's. Keys and addresses come from the environment, as these scorers read them.
"""

import importlib
import re
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from statistics import fmean
from typing import TYPE_CHECKING, Any

from qualitrace_collector.person_feedback import is_good
from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.cleaning import cleaned_sample
from qualitrace_monitors.judges.contract import JudgeError, Label, NotApplicable, Score, Tier, short_hash
from qualitrace_monitors.judges.echo import Judged
from qualitrace_monitors.judges.failures import failure_by_name, failure_of
from qualitrace_monitors.judges.settings import JudgeConfig

if TYPE_CHECKING:
    from mlflow.entities import Trace

VERSION = 2  # of what a scorer sees, and of how its result becomes a score; raise it when that changes

# MLflow 3.17 works with arize-phoenix-evals 0.29, and does not find the metrics of 3.9.
_PACKAGES = {"phoenix": "arize-phoenix-evals"}  # packages that are not called as the scorers that they bring

# Scorers that read the inputs as named fields; MLflow gives third parties' the text of its inputs.
_WITH_FIELDS = ("mlflow.", "python:")

# How MLflow's judges, DeepEval and Ragas report missing passages, and how Phoenix does.
_LACKS_PASSAGES = re.compile("retriev|'reference'", re.IGNORECASE)


class ScorerJudge:
    """Scores by an MLflow scorer. Thread-safe as far as the scorer is."""

    tier: Tier = "scorer"

    def __init__(self, config: JudgeConfig) -> None:
        self.name = config.name
        self._reference = config.scorer or ""
        self.source_id = self._reference if config.model is None else f"{self._reference} {config.model}"
        self.model = config.model or ""
        self.pass_mark = 0.5 if config.threshold is None else config.threshold
        self._model, self._arguments, self._timeout = config.model, config.arguments, config.timeout
        self._lock = threading.Lock()
        self._scorer: Any = None
        settings = (self._reference, config.model, sorted(config.arguments.items()), self.pass_mark)
        self.version = f"{VERSION}-{short_hash(*settings, *_installed_versions(self._reference))}"

    def score(self, sample: Sample) -> Score:
        """Judge one sample.

        Raises:
            NotApplicable: the scorer has no value for it.
            TransientJudgeError: its provider is busy or away.
            JudgeError: the scorer cannot be loaded, failed, or gave a value that is not a score.
        """
        scorer, sample = self._load(), cleaned_sample(sample)
        inputs = {"question": sample.inputs} if self._reference.startswith(_WITH_FIELDS) else sample.inputs
        try:
            result = scorer.run(inputs=inputs, outputs=sample.outputs, trace=trace_of(sample))
            return self._read(result, Judged((sample.inputs, sample.outputs, *sample.passages)))
        except NotApplicable:
            raise
        except Exception as error:
            reported = error if isinstance(error, JudgeError) else failure_of(f"scorer {self._reference}", error)
            if not sample.passages and _LACKS_PASSAGES.search(str(reported)):
                raise NotApplicable("the sample has no passages") from error
            raise reported from error

    def _load(self) -> Any:
        with self._lock:
            if self._scorer is None:
                try:
                    self._scorer = load_scorer(self._reference, self._model, self._arguments)
                    # MLflow's own judges ask up to eleven times, with pauses, before they raise. The timeout usually
                    # ends them first, without the provider's Retry-After.
                    if getattr(self._scorer, "timeout", 0) is None:  # from MLflow 3.16.1 on, if its author set none
                        self._scorer.timeout = self._timeout
                except JudgeError:
                    raise
                except ModuleNotFoundError as error:
                    own = self._reference.startswith(f"python:{error.name}")
                    install = f"install the package that has {error.name} (pip install {error.name})"
                    remedy = f"put the folder that holds {error.name} on PYTHONPATH" if own else install
                    raise JudgeError(f"scorer {self._reference}: {error}: {remedy}") from error
                except Exception as error:
                    raise failure_of(f"scorer {self._reference}", error) from error
            return self._scorer

    def _read(self, result: Any, judged: Judged) -> Score:
        feedbacks: list[Any] = result if isinstance(result, list) else [result]
        if any(_is_copied(feedback, judged) for feedback in feedbacks):
            raise JudgeError(f"scorer {self._reference}: its model only repeats the judged text")
        values = [_value(self._reference, feedback) for feedback in feedbacks]
        known = [value for value in values if value is not None]
        if not known:
            raise NotApplicable(f"scorer {self._reference} has no value for the sample")
        value = fmean(known)
        label: Label = "pass" if value >= self.pass_mark else "fail"
        rationale = " ".join(text for feedback in feedbacks if (text := getattr(feedback, "rationale", None)))
        return Score(value=value, label=label, rationale=rationale, **_usage(feedbacks))


def load_scorer(reference: str, model: str | None, arguments: dict[str, Any]) -> Any:
    """Find and make a scorer; it gets the model if there is one.

    Raises:
        JudgeError: there is no such scorer.
    """
    from mlflow.genai import scorers

    if reference.startswith("python:"):
        _, module, name = reference.split(":")
        found = getattr(importlib.import_module(module), name)
        made = found(**arguments) if isinstance(found, type) else found
        if not isinstance(made, scorers.Scorer):
            raise JudgeError(f"scorer {reference} is no mlflow.genai Scorer: decorate it with @scorer")
        return made
    library, _, name = reference.partition(".")
    given = arguments if model is None else {**arguments, "model": model}
    if library == "mlflow":
        public = ((item, getattr(scorers, item)) for item in dir(scorers))
        known = {item: kind for item, kind in public if _makes_scorers(kind, scorers.Scorer)}
        if name not in known:
            raise JudgeError(f"MLflow has no scorer {name!r}; it has {', '.join(known)}")
        return known[name](**given)
    return importlib.import_module(f"mlflow.genai.scorers.{library}").get_scorer(name, **given)


def _installed_versions(reference: str) -> list[str]:
    """Return the versions of the packages whose code scores: a new release may bring another prompt."""
    library = re.split("[.:]", reference.removeprefix("python:"))[0]
    found: list[str] = []
    for package in ("mlflow", _PACKAGES.get(library, library)):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # a module of the user's that is not installed, or a missing optional package
            continue
    return found


def trace_of(sample: Sample) -> "Trace":
    """Make the trace that scorers expect of a sample: question and answer at the root, one retriever span below.

    It is stored nowhere.
    """
    from mlflow.entities import Trace, TraceData, TraceInfo, TraceLocation, TraceState

    from qualitrace_monitors.judges.made_spans import made_spans, new_trace_id

    trace_id = new_trace_id()
    info = TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id("0"),
        request_time=int(time.time() * 1000),
        execution_duration=0,  # MLflow's integration of DeepEval divides it
        state=TraceState.OK,
        request_preview=sample.inputs,
        response_preview=sample.outputs,
    )
    return Trace(info=info, data=TraceData(spans=made_spans(trace_id, sample.inputs, sample.passages, sample.outputs)))


def _makes_scorers(kind: Any, base: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, base) and kind is not base


def _value(reference: str, feedback: Any) -> float | None:
    """Return a scorer's result as a number from 0 to 1; other words, and numbers beyond 1, have no known scale."""
    if (error := getattr(feedback, "error", None)) is not None:
        raise failure_by_name(f"scorer {reference}", error.error_code, error.error_message or "")
    value = getattr(feedback, "value", feedback)
    if value is None:
        return None
    number = is_good(value) if isinstance(value, str) else value
    if not isinstance(number, (bool, int, float)) or not 0 <= number <= 1:
        raise JudgeError(f"scorer {reference} gave {value!r}: a score must be yes, no, or a number from 0 to 1")
    return float(number)


def _is_copied(feedback: Any, judged: Judged) -> bool:
    """Whether a judge of MLflow's read its verdict from the judged text, which its model repeated: in MLflow's form."""
    value, rationale = getattr(feedback, "value", None), getattr(feedback, "rationale", None)
    forms = (f"result {value} rationale {rationale}", f"rationale {rationale} result {value}")
    return bool(rationale) and any(map(judged.holds, forms))


def _usage(feedbacks: list[Any]) -> dict[str, Any]:
    """Sum up the tokens and the cost of the scorer's model, if it reports them."""
    metadata = [getattr(feedback, "metadata", None) or {} for feedback in feedbacks]

    def total(key: str) -> float:
        return sum(float(item.get(f"mlflow.assessment.{key}") or 0) for item in metadata)

    cost = total("judgeCost")
    return {
        "input_tokens": int(total("judgeInputTokens")),
        "output_tokens": int(total("judgeOutputTokens")),
        "cost_usd": cost or None,
    }
