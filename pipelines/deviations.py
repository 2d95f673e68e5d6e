"""What was changed after the first confirmatory history was committed: from Git's history, not by hand.

Lists every later commit that changed what protocol.yaml registered (by its hash, so that a comment is no deviation),
the settings of a line that a registered claim compares, or a file that its runs execute. `make repro` writes the list
into reports/deviations.json when it records, and the site shows it; a commit cannot list itself.

Example: python -m pipelines.deviations
"""

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradsurgery.ledger.protocol import Protocol
from pipelines._files import write
from pipelines._fingerprint import LIBRARY, sources
from pipelines._params import Experiment, complain, read
from pipelines._protocol import LISTED, NAME, registered
from pipelines._yaml import read_yaml

_READ = (NAME, "params.yaml", "data/pins.yaml", "data/published")


def deviations(root: Path) -> list[dict[str, str]]:
    """`commit`, `date`, `subject` and `changed` of every later commit, the oldest first; empty before the first run."""
    protocol = registered(root)
    if protocol is None or (first := _first(root, protocol)) is None:
        return []
    executed = {file for line in _lines(root, protocol).values() for file in sources(line)}
    files = {str(path.relative_to(LIBRARY.parents[1])) for path in executed}
    found = []
    for line in _git(root, "log", "--reverse", "--format=%H %cs %s", f"{first}..HEAD", "--", *_READ, *files):
        commit, date, subject = line.split(" ", 2)
        touched = set(_git(root, "diff", "--name-only", f"{commit}^", commit, "--", *_READ, *files))
        changed = _declared(root, commit, protocol) if touched - files else []
        changed += [f"code: {', '.join(sorted(touched & files))}"] if touched & files else []
        if changed:
            found.append({"commit": commit[:12], "date": date, "subject": subject, "changed": "; ".join(changed)})
    return found


def _first(root: Path, protocol: Protocol) -> str | None:
    """The commit that brought the first history of a registered line at its scale."""
    paths = sorted({f"reports/history/{d.scale}/*/{line}.jsonl" for d in protocol.every for line in d.lines})
    return next(iter(_git(root, "log", "--reverse", "--diff-filter=A", "--format=%H", "--", *paths)), None)


def _declared(root: Path, commit: str, today: Protocol) -> list[str]:
    """In what a commit changed the protocol or the settings of a registered line."""
    try:
        before, after = (_state(root, revision, today) for revision in (f"{commit}^", commit))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return [f"what today's code cannot read ({type(error).__name__})"]
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return [NAME] * (NAME in changed) + [f"settings of {name}" for name in changed if name != NAME]


def _state(root: Path, revision: str, today: Protocol) -> dict[str, Any]:
    """The hash of the protocol and the declarations of the lines that it or today's registered, of one revision."""
    packed = subprocess.run(["git", "archive", revision, *_READ], cwd=root, capture_output=True, check=False).stdout
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not packed:
            return {}
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        own = registered(folder)
        state: dict[str, Any] = {NAME: own and own.sha256}
        for protocol in filter(None, (today, own)):
            for name, line in _lines(folder, protocol).items():
                state[name] = [line.declaration, line.seeds]
    return state


def _lines(root: Path, protocol: Protocol) -> dict[str, Experiment]:
    """The lines that registered claims compare, as one checkout declares them."""
    document, pins = read_yaml(root / "params.yaml"), read_yaml(root / "data/pins.yaml")
    found: dict[str, Experiment] = {}
    for scale in {design.scale for design in protocol.every}:
        table = read(document, pins, trusted=True, first=protocol.first_seed, scale=scale).experiments
        named = {line for design in protocol.every if design.scale == scale for line in design.lines}
        found |= {f"{line} at {scale}": table[line] for line in sorted(named & table.keys())}
    return found


def _git(root: Path, *arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"{root} must be a Git checkout with its history, found: {done.stderr.strip()[:200]}.")
    return done.stdout.splitlines()


def keep(root: Path) -> None:
    """Writes the list into the checkout, for a commit."""
    write({root / LISTED: (json.dumps(deviations(root), indent=1) + "\n").encode()})


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, also where there are deviations; 2 where Git cannot be asked."""
    argparse.ArgumentParser(
        prog="python -m pipelines.deviations", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(arguments)
    try:
        found = deviations(Path())
        keep(Path())
    except ValueError as error:
        return complain(error)
    said = [f"{one['commit']} {one['date']} {one['changed']}: {one['subject']}" for one in found]
    print("\n".join([*said, f"{len(found)} commits changed what was registered -> {LISTED}"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
