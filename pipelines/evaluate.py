"""Stage `evaluate`: histories, costs, studies and published records -> every number and verdict, as data.

Each experiment is judged under its problem's selection rule (params.yaml), with mean, standard deviation
and 95 % interval over seeds, Delta-m against our own single-task runs, mean rank, and paired differences to the sum.
Nothing is trained and no data is read. Example: python -m pipelines.evaluate
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradsurgery.evidence.diverged import split
from gradsurgery.evidence.documents import encode
from gradsurgery.evidence.evaluation import evaluate
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.scores import results
from gradsurgery.evidence.study import Trial
from gradsurgery.ledger.judging import NONE, Ours
from gradsurgery.ledger.protocol import Protocol
from gradsurgery.ledger.records import Paper
from gradsurgery.ledger.scales import highest
from gradsurgery.ledger.verdicts import find, verdicts
from gradsurgery.ledger.words import WORDS, counted
from pipelines._evidence import read_papers, read_runs, read_studies
from pipelines._files import UnwritableError, read_json, read_yaml, write
from pipelines._problems import LONG, SCALES, read_selections
from pipelines._protocol import registered

KEPT = ("metrics.json", "contrasts.json", "measured.json")  # of another scale than that in force


def read_params(root: Path) -> dict[str, Any]:
    """params.yaml of a checkout as it is written, not all of it checked; nothing where there is none."""
    path = root / "params.yaml"
    found = read_yaml(path, "see CONTRIBUTING.md") if path.exists() else {}
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold named blocks, found {found!r:.40}.")
    if not isinstance(found.get("scale", ""), str):
        raise ValueError(f"{path}: `scale` must be a text, found {found['scale']!r:.40}.")
    return found


def read_scale(root: Path) -> str:
    """The scale in force, whose folder holds histories and costs; empty where params.yaml names none."""
    return str(read_params(root).get("scale", ""))


def document(metrics: Any) -> bytes:
    """Sorted keys and one newline at the end: the same numbers give the same bytes."""
    return (json.dumps(metrics, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What is evaluated: runs and costs by experiment, selection rules and studies by problem, published records.

    `params` is params.yaml as it is written; problems that it does not name are judged by best-val.
    `others` are the same of the scales of hours that Git has runs of, which stand beside laptop's, but for studies.
    """

    scale: str
    params: Mapping[str, Any]
    groups: Mapping[str, Sequence[Run]]
    selections: Mapping[str, str]
    costs: Mapping[str, Any]
    papers: Sequence[Paper]
    studies: Mapping[str, Sequence[Trial]]
    protocol: Protocol
    others: Mapping[str, "Inputs"] = dataclasses.field(default_factory=dict)


def read_inputs(root: Path) -> Inputs:
    """Everything under one checkout that `evaluate` and `report` both start from, read and checked once."""
    params = read_params(root)
    scale = str(params.get("scale", ""))
    there = {path.name for path in (root / "reports/history").glob("*") if next(path.rglob("*.jsonl"), None)}
    others = [other for other in LONG if other in there] if scale == "laptop" else []
    papers = read_papers(root / "data/published")
    protocol = registered(root, papers) or NONE
    own, *beside = (_read_inputs(root, each, params, papers, protocol) for each in (scale, *others))
    studies = read_studies(root / "reports/study", own.selections)
    return dataclasses.replace(own, studies=studies, others=dict(zip(others, beside, strict=True)))


def _read_inputs(
    root: Path, scale: str, params: Mapping[str, Any], papers: Sequence[Paper], protocol: Protocol
) -> Inputs:  # fmt: skip
    selections = read_selections(params.get("problems") or {}, scale)
    groups, costs = read_runs(root, scale)
    return Inputs(scale, params, groups, selections, costs, papers, {}, protocol)


def evaluate_all(root: Path) -> dict[str, bytes]:
    """Everything that can be said of the runs of one checkout: the files, by their name under `reports/`."""
    return evaluated(read_inputs(root))


def evaluated(given: Inputs) -> dict[str, bytes]:
    """The files of the scale in force; in one more, scales.json, those of the others; in verdict.json all scales."""
    own, others = _evaluated(given), {scale: _evaluated(other) for scale, other in given.others.items()}
    every = {given.scale: own, **others}
    order = sorted(every, key=(*SCALES, given.scale).index)
    inputs = {given.scale: given, **given.others}
    groups, costs = ({scale: getattr(one, what) for scale, one in inputs.items()} for what in ("groups", "costs"))
    judged = {scale: json.loads(every[scale]["verdict.json"]) for scale in order}
    beside = {scale: {name: json.loads(found[name]) for name in KEPT} for scale, found in others.items()}
    verdicts_of_all = highest(judged, groups, given.protocol, costs)
    return {
        **own,
        "summary.json": (json.dumps(summary(given, verdicts_of_all), indent=1) + "\n").encode(),  # as it is read
        "verdict.json": document(verdicts_of_all),
        "scales.json": (json.dumps(beside, indent=1, allow_nan=False) + "\n").encode(),
    }


def summary(given: Inputs, judged: Mapping[str, Any]) -> dict[str, int]:
    """What `dvc metrics show` has on one line: runs of the scale in force, and the papers' headlines by verdict."""
    headlines = [record.id for paper in given.papers for record in paper.records if record.headline]
    words = dict(counted(judged[name]["verdict"] for name in headlines))
    runs = {"lines": len(given.groups), "runs": sum(map(len, given.groups.values()))}
    return runs | {word.replace(" ", "_"): words.get(word, 0) for word in WORDS}


def _evaluated(given: Inputs) -> dict[str, bytes]:
    plans = [plan for paper in given.papers for plan in paper.contrasts]
    found = evaluate(given.groups, given.selections, given.costs, given.studies, plans, given.protocol.margin)
    whole, gone = split(given.groups)
    scores = {name: found.scores[name] for name in whole}
    findings = find(given.papers, Ours(whole, scores, gone, given.protocol, given.costs))
    return {
        "metrics.json": document(found.scores),
        "results.csv": results(found.scores).encode(),
        "contrasts.json": lines([contrast.as_record() for contrast in found.contrasts]),
        "verdict.json": document(verdicts(findings)),
        "measured.json": (json.dumps(encode(found.measured), indent=1, allow_nan=False) + "\n").encode(),
    }


def lines(records: Sequence[Mapping[str, Any]]) -> bytes:
    """A list with one record a line, so that a change of one is a line of a diff."""
    text = ",\n".join(json.dumps(record, allow_nan=False) for record in records)
    return f"[\n{text}\n]\n".encode()


def read_evaluation(root: Path, given: Inputs) -> dict[str, Any]:
    """What `evaluate` left, by file. Raises ValueError where it is not what it makes of what is given."""
    found = {}
    for name, content in evaluated(given).items():
        path = root / "reports" / name
        if name.endswith(".json"):
            found[name] = read_json(path, "run `evaluate` first")
            _check_same(path, found[name], json.loads(content))
    return found


def _check_same(path: Path, found: Any, wanted: Any) -> None:
    if found != wanted:
        odd = (
            [n for n in sorted({*wanted, *found}) if wanted.get(n) != found.get(n)]
            if type(found) is type(wanted) is dict else []
        )  # fmt: skip
        raise ValueError(
            f"{path} must hold what `evaluate` makes of reports/history, found it differs"
            f"{f' in {odd[0]}' if odd else ''}: run `python -m pipelines.evaluate`."
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout to work in (default: here)")
    root = parser.parse_args(arguments).root
    try:
        made = evaluate_all(root)
        write({root / "reports" / name: content for name, content in made.items()})
    except (ValueError, UnwritableError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    print(f"evaluate: {len(json.loads(made['metrics.json']))} experiments -> reports/{', '.join(made)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
