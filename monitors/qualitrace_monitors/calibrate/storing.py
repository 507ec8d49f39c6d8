"""A calibration as a run in MLflow, once for each version."""

from mlflow import MlflowClient

from qualitrace_monitors.calibrate.report import Calibration

VERSION_TAG = "qualitrace.calibration_version"


def store(client: MlflowClient, calibration: Calibration) -> str:
    """Write parameters, metrics, tags and `calibration.json` to a run; return its id.

    The run is in the experiment that most of the labels are in. A calibration that is there already is left as it is.
    """
    content = calibration.to_dict()
    ((experiment_id, _),) = calibration.labelled.experiments.most_common(1)
    there = client.search_runs([experiment_id], f"tags.`{VERSION_TAG}` = '{content['version']}'", max_results=1)
    if there:
        return str(there[0].info.run_id)
    tags = {
        VERSION_TAG: str(content["version"]),
        "qualitrace.judge": calibration.judge,
        "qualitrace.judge_version": calibration.labelled.version,
    }
    run = client.create_run(experiment_id, run_name=f"calibrate {calibration.judge}", tags=tags)
    run_id = str(run.info.run_id)
    thresholds, agreement = calibration.thresholds, calibration.agreement
    for name in ("judge", "judge_version", "label"):
        client.log_param(run_id, name, content[name])
    client.log_param(run_id, "target_error", thresholds.target_error)
    client.log_param(run_id, "confidence", thresholds.confidence)
    metrics = {
        "labels": len(calibration.labelled.pairs),
        "kappa": agreement.kappa.estimate,
        "sensitivity": agreement.sensitivity.estimate,
        "specificity": agreement.specificity.estimate,
        "threshold_pass": thresholds.passing.threshold,
        "threshold_fail": thresholds.failing.threshold,
        "coverage": thresholds.coverage,
    }
    for name, value in metrics.items():
        if value is not None:
            client.log_metric(run_id, name, value)
    client.log_dict(run_id, content, "calibration.json")
    client.set_terminated(run_id)
    return run_id
