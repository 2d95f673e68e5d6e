"""`make study`: equal-budget random search, which `make repro` has no time for.

For every problem of `studies` in params.yaml: as many random trials for every method, on one seed; the trial that the
problem's selection rule finds best on validation again on fresh seeds. Needs the problem's prepared arrays, here or in
a workspace; reads no history and changes none.

A trial is a run as `train` makes it, with its checkpoint and its result in runs/study/: a killed study goes on where it
was, and one whose declaration, sources or data have changed since is trained again. When all trials of a problem are
there they go to reports/study/<problem>.jsonl, whose bytes do not depend on the order of finishing, and their seconds
to reports/study/costs/<problem>.json. A trial that diverges counts as one of the budget and cannot win. `make report`
then shows what was found.

Examples:
    python -m pipelines.study                       every study, at the scale of params.yaml
    python -m pipelines.study census --jobs 1       one problem, in this process
    python -m pipelines.study --scale smoke         two trials of everything, in workspaces/smoke
"""

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gradsurgery.core.discovery import did_you_mean
from gradsurgery.evidence.study import best, validation
from pipelines._jobs import jobs, refuse_ranks
from pipelines._params import Params, complain, load
from pipelines._pool import EndedError
from pipelines._progress import Progress
from pipelines._trials import DONE, Study, Trial
from pipelines._watchdog import drivers, end_with
from pipelines._workspace import share, workspace
from pipelines.train import make


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when every study is complete, 2 for a wrong input, 1 when a process ended before its trial did, 130
    when it was interrupted."""
    arguments = _arguments(argv)
    root = Path.cwd()
    try:
        refuse_ranks()
        places = ["cpu"] * jobs(arguments.jobs)
        if arguments.scale:
            os.chdir(workspace(root, arguments.scale))
        else:
            share(root, root, "data/processed")
        params = load()
        studies = [Study(problem, params) for problem in _chosen(arguments.problems, params)]
        end_with(drivers())
        trained = _train(studies, [study.searching() for study in studies], places)
        trained += _train(studies, [study.winning() for study in studies], places)
        for study in studies:
            study.publish()
    except (ValueError, OSError) as error:
        return complain(error)
    except EndedError as error:
        print(f"error: {error} Finished trials are kept: the same command goes on.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on where this one was.", file=sys.stderr)
        return 130
    failed = sum(failed for _, failed in trained)
    print(f"study: {len(trained)} trials trained now, {failed} of them failed -> {DONE}; `make report` shows them")
    for study in studies:
        _tell(study)
    return 0


def _train(
    studies: Sequence[Study], wanted: Sequence[Sequence[Trial]], places: Sequence[str]
) -> list[tuple[Trial, bool]]:
    """Makes what is not there of each study's trials; what was made, and whether it failed."""
    left = [(study, trial) for study, own in zip(studies, wanted, strict=True) for trial in study.missing(own)]
    if left:
        runs = [trial.run for _, trial in left]
        make(runs, places, Progress(dict.fromkeys(runs, math.inf)), lambda run: None)
    return [(trial, bool(study.kept(trial)[0]["failed"])) for study, trial in left]


def _tell(study: Study) -> None:
    for method, tried in study.tried().items():
        winner = best(tried, study.search.rule)
        told = "every trial failed" if winner is None else (
            f"trial {winner.number} of {len(tried)}, validation {validation(winner, study.search.rule):.4f}"
        )  # fmt: skip
        print(f"  {study.problem} {method}: {told}")


def _chosen(names: Sequence[str], params: Params) -> list[str]:
    known = list(params.studies)
    if not known:
        raise ValueError("`studies` must hold at least one study, found none.")
    for name in names:
        if name not in known:
            among = f"{', '.join(known)}{did_you_mean(name, known)}"
            raise ValueError(f"`studies` must hold the problem asked for, found no {name!r} among {among}")
    return list(dict.fromkeys(names)) or known


STUDIED = ("smoke", "laptop")  # the scales at which `studies` of params.yaml says what is tried


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.study", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("problems", nargs="*", metavar="problem", help="a problem of `studies` (default: all of them)")
    parser.add_argument("--jobs", help="trials at once (default: one per core)")
    parser.add_argument(
        "--scale", choices=STUDIED, help="in workspaces/<scale> (default: here, at that of params.yaml)"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
