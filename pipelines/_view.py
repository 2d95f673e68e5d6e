"""What MLflow shows: of a run what histories and costs hold, and pages that open with what tells runs apart.

MLflow keeps the state of a page that somebody shares as a tag of the experiment, and opens it by the tag's name.
"""

import json
from typing import TYPE_CHECKING, Any

from gradsurgery.core.metrics import score
from pipelines._run import Run

if TYPE_CHECKING:
    from pipelines._tracking import Tracker

SCORE = "val.score"  # what epochs are selected by: every run has it, whatever its problem measures
KEY = "gradsurgery"
TAG = f"mlflow.sharedViewState.{KEY}"
_COLUMNS = (
    "tags.`problem`", "tags.`method`", "tags.`seed`", "tags.`scale`", f"metrics.`{SCORE}`", "attributes.`Duration`",
)  # fmt: skip
_CHARTS = {SCORE: "LINE", "mean_cosine": "LINE", "conflict_share": "LINE", "cost.seconds": "BAR"}


def state() -> str:
    """The tag's text."""
    common = {"display": True, "deleted": False, "isGenerated": False}
    section = {"uuid": KEY, "name": "Validation, conflict, cost", "isReordered": True, **common}
    charts = [
        {
            "uuid": metric, "type": kind, "metricSectionId": KEY, "metricKey": metric, "selectedMetricKeys": [metric],
            "xAxisKey": "step", "xAxisScaleType": "linear", "scaleType": "linear", "lineSmoothness": 0,
            "selectedXAxisMetricKey": "", "ignoreOutliers": False, "runsCountToCompare": 20, **common,
        }
        for metric, kind in _CHARTS.items()
    ]  # fmt: skip
    return json.dumps({
        "orderByKey": "attributes.start_time", "orderByAsc": False, "startTime": "ALL", "lifecycleFilter": "Active",
        "selectedColumns": _COLUMNS, "viewMaximized": True, "hideEmptyCharts": True, "runsHiddenMode": "FIRST_20_RUNS",
        "compareRunSections": [section], "compareRunCharts": charts,
    })  # fmt: skip


def show(tracker: "Tracker", run: Run, name: str, content: dict[str, Any]) -> None:
    """What the tracker gets of an event: no more than histories and costs get."""
    experiment, seed = run.experiment, run.seed
    if name == "begin":
        tags = {
            "problem": experiment.problem, "method": experiment.method,
            "scale": run.scale, "track": experiment.track, "family": experiment.family, "stage": "train",
            "fingerprint": run.fingerprint,
        }  # fmt: skip
        facts = {"data_sha256": run.data_sha256, **content}
        tracker.begin(experiment.name, seed, tags, {**experiment.declaration, "seed": seed, **facts})
    elif name == "epoch":
        rows = [(content["row"]["epoch"], {n: v for n, v in content["row"].items() if n != "epoch"})]
        rows += [(r["step"], {n: v for n, v in r.items() if n != "step"}) for r in content["diagnostics"]]
        tracker.log(experiment.name, seed, [(int(step), row) for step, row in rows])
    else:
        line, cost = content["history"], content["cost"]
        scored = [row for row in line["epochs"] if None not in row.values()]  # all of them, but for a run that diverged
        scores = [(row["epoch"], {SCORE: score(row, "val", line["metrics"])}) for row in scored]
        tracker.log(experiment.name, seed, [*scores, (len(line["epochs"]), {f"cost.{n}": v for n, v in cost.items()})])
        tracker.end(experiment.name, seed, {"history.json": line, "config.json": experiment.declaration})
