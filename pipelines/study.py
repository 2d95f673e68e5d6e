"""`make study`: equal-budget random search, which `make repro` has no time for.

For every problem of `studies` in params.yaml: as many random trials for every method, on one seed; the trial that the
problem's selection rule finds best on validation again on fresh seeds. Needs
the problem's prepared arrays, here or in a workspace; reads no history and changes none.

Trials are shared out over the cores, one thread each. Finished ones are kept in runs/study/<problem>.jsonl, which is
replaced as a whole after each, so that a killed study goes on where it was; one whose declaration, sources or data
have changed since is trained again. When all trials of a problem are there they go to reports/study/<problem>.jsonl,
whose bytes do not depend on the order of finishing, and their seconds to reports/study/costs/<problem>.json. A trial
that diverges counts as one of the budget and cannot win. `make report` then shows what was found.

Examples:
    python -m pipelines.study                       every study, at the scale of params.yaml
    python -m pipelines.study census --jobs 1       one problem, in this process
    python -m pipelines.study --scale smoke         two trials of everything, in workspaces/smoke
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import joblib
from tqdm import tqdm

from gradsurgery.core.discovery import did_you_mean
from gradsurgery.evidence.study import best, parse, validation
from pipelines._arrays import hashes_of
from pipelines._files import as_json
from pipelines._finished import DONE, WORK, Finished
from pipelines._jobs import jobs, refuse_ranks
from pipelines._params import SCALES, Params, complain, load
from pipelines._run import RefusedError
from pipelines._studies import Search
from pipelines._tracking import Tracker
from pipelines._trials import Record, Trial, run, searching, winning
from pipelines._watchdog import drivers, end_with
from pipelines._workspace import prepared, workspace


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when every study is complete, 2 for a wrong input, 130 when it was interrupted."""
    arguments = _arguments(argv)
    root = Path.cwd()
    try:
        refuse_ranks()
        count = jobs(arguments.jobs)
        if arguments.scale:
            os.chdir(workspace(root, arguments.scale))
        params = load()
        problems = _chosen(arguments.problems, params)
        data = {p: prepared(root, p) for p in problems}  # the arrays do not depend on the scale
        hashes = {p: hashes_of(data[p], params.problems[p].sha256) for p in problems}
        ledgers = {p: Finished(p) for p in problems}
    except (ValueError, OSError) as error:
        return complain(error)
    end_with(drivers())
    try:
        return _study(params, hashes, ledgers, data, count)
    except (RefusedError, OSError) as error:
        return complain(error)
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on where this one was.", file=sys.stderr)
        return 130


def _study(
    params: Params,
    hashes: Mapping[str, Mapping[str, str]],
    ledgers: Mapping[str, Finished],
    data: Mapping[str, Path],
    jobs: int,
) -> int:
    searches = {p: s for p, s in params.studies.items() if p in hashes}
    first, later = [], 0
    for problem, search in searches.items():
        first += ledgers[problem].missing(searching(search, params.scale, hashes[problem]))
        later += len(search.lines) * len(search.seeds)
    tracker = Tracker(Path.cwd())
    count, failed = 0, 0
    with tqdm(total=len(first) + later, desc="study", unit="trial", smoothing=0.05) as bar:

        def kept(trial: Trial, record: Record, seconds: float) -> None:
            nonlocal count, failed
            ledgers[trial.experiment.problem].keep(record, seconds)
            _track(tracker, trial, record, seconds)
            count, failed = count + 1, failed + record["failed"]
            bar.set_postfix_str(f"{trial.experiment.name} {trial.kind} {trial.number}", refresh=False)
            bar.update()

        _train(first, data, jobs, kept)
        again = []
        for problem, search in searches.items():
            for method, number in _winners(search, ledgers[problem], problem).items():
                again += ledgers[problem].missing(winning(search, method, number, params.scale, hashes[problem]))
        bar.total = len(first) + len(again)
        _train(again, data, jobs, kept)
    tracker.close()
    for ledger in ledgers.values():
        ledger.publish()
    print(f"study: {count} trials trained now, {failed} of them failed -> {DONE}; `make report` shows what they say")
    for problem, search in searches.items():
        _tell(problem, search, ledgers[problem])
    return 0


def _train(
    trials: Sequence[Trial], data: Mapping[str, Path], jobs: int, kept: Callable[[Trial, Record, float], None]
) -> None:
    """All of `trials` over the cores, each handed to `kept` in this process as it finishes."""
    if min(jobs, len(trials)) < 2:
        for trial in trials:
            kept(*run(os.getpid(), trial, data[trial.experiment.problem]))
        return
    tasks = (joblib.delayed(run)(os.getpid(), trial, data[trial.experiment.problem]) for trial in trials)
    for result in joblib.Parallel(n_jobs=min(jobs, len(trials)), backend="loky", return_as="generator_unordered")(
        tasks
    ):
        kept(*result)


def _winners(search: Search, ledger: Finished, problem: str) -> dict[str, int]:
    """By method the trial that is best on validation; a method of which every trial failed has none."""
    found = {}
    tried = parse([as_json(record) for record in ledger.records("search")], f"{WORK / problem}.jsonl")
    for method in search.lines:
        winner = best([trial for trial in tried if trial.method == method], search.rule)
        if winner is not None:
            found[method] = winner.number
    return found


def _tell(problem: str, search: Search, ledger: Finished) -> None:
    tried = parse([as_json(record) for record in ledger.records("search")], f"{DONE / problem}.jsonl")
    for method in search.lines:
        own = [trial for trial in tried if trial.method == method]
        winner = best(own, search.rule)
        told = "every trial failed" if winner is None else (
            f"trial {winner.number} of {len(own)}, validation {validation(winner, search.rule):.4f}"
        )  # fmt: skip
        print(f"  {problem} {method}: {told}")


def _track(tracker: Tracker, trial: Trial, record: Record, seconds: float) -> None:
    """One flat run for each trial, sent by a thread of this process, which otherwise only waits."""
    name = f"{trial.experiment.name}-study-{trial.kind}{trial.number:02d}"
    tags = {
        "problem": trial.experiment.problem, "method": trial.method, "scale": trial.scale, "stage": "study",
        "track": trial.experiment.track, "fingerprint": trial.fingerprint, "failed": str(record["failed"]).lower(),
    }  # fmt: skip
    tracker.begin(name, trial.seed, tags, {**trial.experiment.declaration, "seed": trial.seed, "trial": trial.number})
    rows = [(int(row["epoch"]), {n: v for n, v in row.items() if n != "epoch"}) for row in record["epochs"]]
    tracker.log(name, trial.seed, [*rows, (len(rows), {"cost.seconds": seconds})])
    tracker.end(name, trial.seed, {})


def _chosen(names: Sequence[str], params: Params) -> list[str]:
    known = list(params.studies)
    if not known:
        raise ValueError("`studies` must hold at least one study, found none.")
    for name in names:
        if name not in known:
            among = f"{', '.join(known)}{did_you_mean(name, known)}"
            raise ValueError(f"`studies` must hold the problem asked for, found no {name!r} among {among}")
    return list(dict.fromkeys(names)) or known


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.study", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("problems", nargs="*", metavar="problem", help="a problem of `studies` (default: all of them)")
    parser.add_argument("--jobs", help="trials at once (default: one per core)")
    parser.add_argument("--scale", choices=SCALES, help="in workspaces/<scale> (default: here, at that of params.yaml)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
