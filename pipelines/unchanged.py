"""`make unchanged`: proves that a change of the code changed no number, so that nothing need be trained again.

Bits differ between processors, so that today's code is never held against committed numbers of another machine. Both
sides run here, side by side: the code of a named revision in a git worktree, and today's. Every experiment is trained
at scale smoke; at the scale of params.yaml those that smoke has not, and the cheapest line of every problem, rule and
transform, as smoke ends before a rate falls; one seed each. Histories must be equal to the last bit; what only
today's code records is listed, and does not count.

With --record the lines that were equal get today's fingerprints in reports/costs, their results stay those that are
committed, and dvc.lock says of every family of which nothing is stale that it is up to date. Lines that differ, or
whose settings or data are others than those of their history, stay stale: `make repro` trains them.

Examples:
    python -m pipelines.unchanged HEAD~3            today's tree against three commits ago
    python -m pipelines.unchanged main --record     and let the locks say so
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipelines._jobs import jobs
from pipelines._params import Params, complain, load
from pipelines._plan import Plan
from pipelines._problems import LONG
from pipelines._records import Records
from pipelines._schedule import Schedule

ROOT = Path(__file__).resolve().parents[1]
Histories = dict[tuple[str, str], dict[str, Any]]  # (scale, experiment) -> a history, or {"failed": why}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when nothing differs, 1 when something does, 2 for a wrong input."""
    arguments = _arguments(argv)
    try:
        at_once = jobs(arguments.jobs)
        params = load(ROOT / "params.yaml")
        with _worktree(arguments.revision) as before:
            data = _data(arguments.data)
            wanted = chosen(
                params, load(ROOT / "params.yaml", "smoke"), [] if arguments.quick else sample(params, ROOT)
            )
            old = _histories(before, wanted, data, params.scale, at_once, f"code of {arguments.revision}")
        new = _histories(ROOT, wanted, data, params.scale, at_once, "code of today")
    except ValueError as error:
        return complain(error)
    differing, added = compare(old, new)
    same = sorted({name for _, name in new} - {name for _, name in differing})
    print(f"{len(new) - len(differing)} of {len(new)} histories are equal to the last bit.")
    if added:
        print(f"  recorded by today's code alone: {', '.join(added)}")
    for (scale, name), why in sorted(differing.items()):
        print(f"  differs: {name} at {scale}: {why}")
    if arguments.record:
        count = record(ROOT, params, same)
        print(f"{count} lines have today's fingerprints: run `dvc repro -s evaluate report`, commit")
    return 1 if differing else 0


def chosen(params: Params, smoke: Params, sample: Sequence[str]) -> dict[str, list[str]]:
    """Experiments by scale: every line at smoke, what is not run there at the scale of `params`, and there a sample."""
    absent = [name for name in params.experiments if name not in smoke.experiments]
    wanted = {"smoke": [name for name in params.experiments if name in smoke.experiments]}
    return {params.scale: sorted({*absent, *sample})} | wanted


def sample(params: Params, root: Path) -> list[str]:
    """The cheapest experiment of every problem, rule and transform: smoke, which has all methods, is short."""
    kinds: dict[tuple[str, str, str], str] = {}
    schedule = Schedule(params, Records(root, params.scale), None)
    lines = sorted(params.experiments.values(), key=lambda line: (-schedule.seconds(line, line.seeds[0]), line.name))
    for line in lines:  # the cheapest comes last, and stays
        rule, transform = (line.declaration[slot]["name"] for slot in ("rule", "transform"))
        kinds[line.problem, rule, transform] = line.name
    return sorted(kinds.values())


def compare(old: Histories, new: Histories) -> tuple[dict[tuple[str, str], str], list[str]]:
    """Why histories differ, and the entries that only the new ones have."""
    differing: dict[tuple[str, str], str] = {}
    added: set[str] = set()
    for key, after in new.items():
        before = old.get(key, {"failed": "not an experiment of the older code"})
        added |= after.keys() - before.keys() - {"failed"}
        if why := before.get("failed") or after.get("failed"):
            differing[key] = why
        elif odd := sorted(entry for entry in before if entry != "declaration" and _differ(before, after, entry)):
            differing[key] = ", ".join(odd)
    return differing, sorted(added)


def _differ(before: Mapping[str, Any], after: Mapping[str, Any], entry: str) -> bool:
    """As text: the shortest decimals that give the same bits, with NaN equal to itself."""
    return entry not in after or json.dumps(before[entry]) != json.dumps(after[entry])


def record(root: Path, params: Params, names: Sequence[str]) -> int:
    """Puts today's fingerprints beside these lines' costs, and what follows from that into the lock; how many lines."""
    from dvc.repo import Repo

    count, stale = Plan(params, Records(root, params.scale), "cpu").prove(names)
    for scale in LONG:
        if (root / "reports/history" / scale).is_dir():
            count += Plan(load(root / "params.yaml", scale), Records(root, scale), "cpu").prove(names)[0]
    with Repo(str(root)) as repo, repo.lock:
        for stage in repo.index.stages:
            name, _, family = stage.addressing.partition("@")
            if name == "train" and family not in stale:
                stage.save_deps(allow_missing=True)  # arrays may lie in another workspace: their hash stays
                stage.save_outs()
                stage.dump(update_pipeline=False)
    return count


def _histories(
    tree: Path, wanted: Mapping[str, list[str]], data: Path, own: str, at_once: int, label: str
) -> Histories:
    """What the code in `tree` makes of the experiments that it has, by scale; from the evidence of scale `own`."""
    found: Histories = {}
    with tempfile.TemporaryDirectory() as scratch:
        tasks = []
        for scale, names in wanted.items():
            path = Path(scratch) / f"{scale}.yaml"
            text = (tree / "params.yaml").read_text(encoding="utf-8")
            path.write_text(re.sub(r"(?m)^scale: \w+", f"scale: {scale}", text, count=1), encoding="utf-8")
            common = {"params": str(path), "data": str(data), "evidence": str(ROOT / "reports/history" / own)}
            tasks += [{"experiment": name, **common} for name in names]
        environment = {**os.environ, "PYTHONPATH": f"{tree / 'src'}{os.pathsep}{tree}", "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-P", str(ROOT / "pipelines/_retrace.py"), str(at_once)], cwd=tree, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        json.dump(tasks, process.stdin)
        process.stdin.close()
        with tqdm(total=len(tasks), desc=label, unit="run", smoothing=0) as bar:
            for line in process.stdout:
                answer = json.loads(line)
                bar.set_postfix_str(answer["experiment"], refresh=False)
                bar.update()
                scale = Path(answer["params"]).stem
                found[scale, answer["experiment"]] = answer.get("history") or {"failed": answer["failed"]}
        if process.wait():
            raise ValueError(f"the {label} must run to its end, found exit code {process.returncode} (above).")
    return found


@contextmanager
def _worktree(revision: str) -> Iterator[Path]:
    """A checkout of `revision`, gone afterwards."""
    folder = ROOT / "workspaces" / "unchanged"
    subprocess.run(["git", "worktree", "remove", "--force", str(folder)], cwd=ROOT, capture_output=True)
    made = subprocess.run(
        ["git", "worktree", "add", "--detach", str(folder), revision], cwd=ROOT, capture_output=True, text=True
    )
    if made.returncode:
        raise ValueError(f"`revision` must be a commit, found {revision!r}: {made.stderr.strip().splitlines()[-1]}")
    try:
        yield folder
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(folder)], cwd=ROOT, capture_output=True)


def _data(given: Path | None) -> Path:
    """The folder of prepared arrays."""
    places = [given] if given else [ROOT / "data/processed", *sorted(ROOT.glob("workspaces/*/data/processed"))]
    for place in places:
        if place.is_dir() and any(place.iterdir()):
            return place.resolve()
    raise ValueError(f"`--data` must hold prepared arrays, found none in {', '.join(map(str, places))}: `make repro`.")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.unchanged", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("revision", help="the code to compare with: a commit, branch or tag")
    parser.add_argument("--record", action="store_true", help="mark equal lines up to date")
    parser.add_argument("--quick", action="store_true", help="scale smoke, and only what it lacks at another")
    parser.add_argument("--data", type=Path, help="prepared arrays (default: data/processed, here or in workspaces/)")
    parser.add_argument("--jobs", help="runs at once (default: one per core)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
