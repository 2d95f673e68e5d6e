"""Every file that a stage reads, damaged in every way: one line that names it and exit code 2, or right and said.

All stages run in this process on a small checkout without Git: four experiments, a study, random pictures.
"""

import contextlib
import dataclasses
import functools
import io
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import yaml

from pipelines import _params, evaluate, prepare, report, study, train, why
from pipelines._arrays import hashes_of
from pipelines._params import CHECKED, load, sha256_of

pytestmark = pytest.mark.slow

GARBAGE = np.random.default_rng(0).bytes(300)
OTHERS = (float("nan"), -1, "x", {}, None)  # what may stand where something else belongs; the first three also deeper
HISTORY, DESCENT = (
    Path(f"reports/history/smoke/baselines/{name}.jsonl") for name in ("multi_mnist-sum", "cagrad_toy-mean")
)
COSTS = Path("reports/costs/smoke/baselines/multi_mnist-sum.json")
METRICS, CONTRASTS, MEASURED, VERDICT = (
    Path(f"reports/{name}.json") for name in ("metrics", "contrasts", "measured", "verdict")
)
BESIDE, SUMMARY, DEVIATIONS, SKIPPED = (
    Path(f"reports/{name}.json") for name in ("scales", "summary", "deviations", "skipped")
)
PUBLISHED, LOCK, PROTOCOL = Path("data/published/pcgrad.yaml"), Path("dvc.lock"), Path("protocol.yaml")
STUDY, STUDY_COSTS = Path("reports/study/multi_mnist.jsonl"), Path("reports/study/costs/multi_mnist.json")
CHECKPOINT, RESULT = Path("runs/multi_mnist-sum/seed-0.pt"), Path("runs/multi_mnist-sum/seed-0.json")
TRIAL = Path("runs/study/multi_mnist/sum-00/seed-0.json")
IMAGES, LABELS = (Path(f"data/processed/multi_mnist/train_{kind}.npy") for kind in ("images", "labels"))
STARTS = Path("data/processed/cagrad_toy/starts.npy")
RAW = Path("data/raw/digits/train_images.npy")
STAGES = {
    "prepare": (prepare.main, ["multi_mnist"]),
    "train": (train.main, ["multi_mnist-sum", "--jobs", "1"]),
    "descend": (train.main, ["cagrad_toy-mean", "--jobs", "1"]),
    "study": (study.main, ["multi_mnist", "--jobs", "1"]),
    "evaluate": (evaluate.main, []),
    "report": (report.main, []),
    "why": (why.main, ["multi_mnist-sum/left.accuracy"]),
}
# what must be as before where a stage ends well in spite of the damage
OUTPUTS = {
    "prepare": [IMAGES, LABELS], "train": [HISTORY], "descend": [DESCENT], "study": [STUDY],
    "evaluate": [METRICS, CONTRASTS, MEASURED, VERDICT, BESIDE, SUMMARY, Path("reports/results.csv")],
    "report": [], "why": [],
}  # fmt: skip
OURS = (CHECKPOINT, RESULT)  # a stage makes these again; it says so unless they are just gone


class Small:
    """The checkout, and how it was before any damage."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.whole: dict[Path, bytes] = {}
        self.counts: Counter[tuple[str, str]] = Counter()

    def run(self, stage: str) -> tuple[int, str, str]:
        main, arguments = STAGES[stage]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main(arguments)
            except SystemExit as end:
                code = end.code
        return code, out.getvalue(), err.getvalue()

    def files(self) -> set[Path]:
        return {path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file()}

    def keep(self) -> None:
        self.whole = {path: (self.root / path).read_bytes() for path in self.files()}

    def restore(self, *paths: Path) -> None:
        for path in {*paths, *OURS} & set(self.whole):
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.is_file() or path.read_bytes() != self.whole[path]:
                path.write_bytes(self.whole[path])
        for path in self.files() - set(self.whole):
            path.unlink()


@pytest.fixture(scope="module")
def small(checkout, tmp_path_factory):
    params = yaml.safe_load((checkout.root / "params.yaml").read_text())
    root = tmp_path_factory.mktemp("damaged") / "here"
    (root / PUBLISHED.parent).mkdir(parents=True)
    for name in (PUBLISHED.name, "cagrad.yaml"):  # two papers with a table each, as every report reads them all
        paper = yaml.safe_load((checkout.root / PUBLISHED.parent / name).read_text())
        paper["tables"] = [table for table in paper["tables"] if table["id"] in ("table-4", "size")]
        (root / PUBLISHED.parent / name).write_text(yaml.safe_dump(paper, sort_keys=False))
    for name in ("params.yaml", "data/pins.yaml"):
        shutil.copy(checkout.root / name, root / name)
    for name in ("README.md", PROTOCOL):
        shutil.copy(checkout.root / name, root)
    (root / RAW).parent.mkdir(parents=True)
    for name, pin in params["datasets"]["digits"]["arrays"].items():
        body = (Path(checkout.environment["GRADSURGERY_MIRROR"]) / "digits" / pin["file"]).read_bytes()
        shape = np.frombuffer(body, ">u4", body[3], 4)
        np.save(root / RAW.parent / f"{name}.npy", np.frombuffer(body, np.uint8, offset=4 + 4 * body[3]).reshape(shape))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv(CHECKED, sha256_of(root / "params.yaml"))
        loaded = load()  # once: this file is whole here
        patch.setattr(_params, "load_or_exit", lambda **_: loaded)
        patch.setattr(train, "load_or_exit", lambda **_: loaded)
        patch.setattr(study, "load", lambda: loaded)
        patch.setattr(train, "Tracker", lambda root: Mock())
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        made = Small(root)
        assert prepare.main(["multi_mnist", "cagrad_toy"]) == 0
        problems = {  # the checkout pins nothing, as its pictures are made anew every time
            name: dataclasses.replace(problem, sha256=hashes_of(IMAGES.parents[1] / name, {}))
            for name, problem in loaded.problems.items()
            if name in params["problems"]
        }
        loaded = dataclasses.replace(loaded, problems={**loaded.problems, **problems})
        for problem, block in params["problems"].items():
            for key in block["methods"]:
                assert train.main([f"{problem}-{key}", "--jobs", "1"]) == 0
        for stage in ("study", "evaluate"):
            assert made.run(stage)[0] == 0
        stages = {
            f"train@{family}": {
                "cmd": f"python -m pipelines.train {family}",
                "outs": [{"path": f"reports/history/smoke/{family}", "md5": "0"}],
            }
            for family in ("baselines", "pcgrad")
        }
        DEVIATIONS.write_text("[]")
        SKIPPED.write_text("{}")
        LOCK.write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
        made.keep()
        patch.setattr(report, "assemble", drawn_as(report.gather(root)))
        patch.setattr(report, "with_block", lambda text, block: text)
        patch.setattr(report, "OWNED", ())
        yield made
    print()
    for stage in STAGES:
        print(stage, {what: count for (own, what), count in made.counts.items() if own == stage})
    print("in all", sum(made.counts.values()), "damages")


def drawn_as(gathered):
    """In place of `assemble`, which takes seconds and reads no file: what is gathered must be what was there before."""

    def assembled(sources, pool):
        if _difference(sources, gathered):
            raise AssertionError(f"something else was gathered, as {_difference(sources, gathered)}")
        return SimpleNamespace(files={}, headlines="")

    return assembled


def _difference(one, other):
    values = ((f.name, getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    return [name for name, a, b in values if (vars(a) != vars(b) if name == "contrasts" else a != b)]


def bytes_of(whole: bytes, other: bytes) -> Iterator[tuple[str, bytes | None]]:
    """Damages of any file; None is a file that is gone."""
    yield "missing", None
    yield "empty", b""
    yield "half", whole[: len(whole) // 2]
    yield "but its end", whole[:-3]
    yield "garbage", GARBAGE
    yield "garbage at its end", whole + GARBAGE
    yield "other's", other


def changed(document, depth: int = 2, others=OTHERS) -> Iterator[tuple[str, object]]:
    """A document of JSON with one entry gone, or of another kind, at every place down to a depth."""
    if not depth or not isinstance(document, dict | list) or not document:
        return
    places = list(document) if isinstance(document, dict) else [0]
    for place in places:
        gone = {k: v for k, v in document.items() if k != place} if isinstance(document, dict) else document[1:]
        yield f"{place} gone", gone
        for value in others:
            if value != document[place]:
                yield f"{place} = {value!r}", _put(document, place, value)
        for what, inner in changed(document[place], depth - 1, OTHERS[:3]):
            yield f"{place}: {what}", _put(document, place, inner)


def _put(document, place, value):
    made = document.copy()
    made[place] = value
    return made


def json_of(whole: bytes, depth: int = 2) -> Iterator[tuple[str, bytes]]:
    """Damages of one document of JSON."""
    for text in ("[]", "3", '"x"', "null", "{}", "NaN", "[" * 5000):
        yield f"{text[:4]} alone", text.encode()
    for what, document in changed(json.loads(whole), depth):
        yield what, json.dumps(document).encode()
    if isinstance(document := json.loads(whole), dict) and document:
        first = json.dumps(next(iter(document.items())))[1:-1].split(", ", 1)
        yield "a key twice", b"{" + f"{first[0]}: {first[1]}, ".encode() + whole.lstrip()[1:]


def lines_of(whole: bytes, depth: int = 2) -> Iterator[tuple[str, bytes]]:
    """Damages of lines of JSON."""
    first, *others = whole.splitlines(keepends=True)
    for what, line in json_of(first, depth):
        yield what, b"".join([line.rstrip() + b"\n", *others])
    yield "a line twice", first + whole
    yield "a blank line", first + b"\n" + b"".join(others)
    if others:
        yield "lines in another order", b"".join([*others, first])


def arrays_of(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Damages of an array."""
    array = np.load(io.BytesIO(whole))
    other = array.copy()
    other.reshape(-1)[0] += 1
    made = {
        "a value changed": other, "flat": array.reshape(-1), "an axis more": array[None], "a row less": array[1:],
        "other type": array.astype(np.int32 if array.dtype != np.int32 else np.int64), "text": array.astype(str),
        "floats": array.astype(float) * np.nan, "one number": np.array(3), "no row": array[:0],
        "bytes": array.view(np.uint8).reshape(-1),
    }  # fmt: skip
    for what, changed_array in made.items():
        yield what, _saved(changed_array)
    yield "objects", _saved(array.astype(object))
    archive = io.BytesIO()
    np.savez(archive, array)
    yield "an archive", archive.getvalue()


def _saved(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def yaml_of(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Damages of a document of YAML."""
    for what, made in changed(yaml.safe_load(whole), 2):
        yield what, yaml.safe_dump(made).encode()
    yield from broken_yaml(whole)


def broken_yaml(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """What is no document, or none of ours."""
    for text in ("3", "- a", "a: [", "x: *y", "!!python/object/apply:os.getcwd []"):
        yield f"{text} alone", text.encode()
    yield "a block twice", whole + whole


def judge(small: Small, stage: str, path: Path, what: str, content: bytes | None) -> str | None:
    """What is wrong with how a stage takes the damage, or None."""
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    if path == CHECKPOINT:
        RESULT.unlink()  # else nobody looks at it
    if stage in ("train", "descend") and path not in (HISTORY, COSTS):
        for record in (HISTORY, DESCENT):  # a run that is recorded needs neither data nor runs/
            record.unlink(missing_ok=True)
    try:
        code, out, err = small.run(stage)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        small.counts[stage, "traceback"] += 1
        return f"{stage}, {path.name} {what}: {type(error).__name__}: {error}"[:300]
    finally:
        stray = [p for p in small.files() - set(small.whole) if p.suffix in (".part", ".new", ".old")]
        # numpy reads no further than an array's end
        made = [p for p in OUTPUTS[stage] if p != path or (stage == "prepare" and what != "garbage at its end")]
        same = all(p.exists() and p.read_bytes() == small.whole[p] for p in made)
        small.restore(path, *OUTPUTS[stage], HISTORY, DESCENT, COSTS, IMAGES, LABELS)
    said = [line for line in err.splitlines() if path.stem in line or str(path.parent) in line]
    if stray:
        return f"{stage}, {path.name} {what}: left {stray}"
    if code == 2 and len(err.splitlines()) == 1 and said and path not in OURS:
        small.counts[stage, "refused"] += 1
        return None
    # nothing is to be said where a file is just gone, is another run's, or lost nothing that is read
    whole = what == "other's" or "study: 0 trials trained now" in out
    if code == 0 and same and (said or whole or content is None or path not in OURS):
        small.counts[stage, "made again and said" if said else "right"] += 1
        return None
    small.counts[stage, "unclear or silent"] += 1
    return f"{stage}, {path.name} {what}: code {code}, {'same' if same else 'other'} outputs, said: {err[:300]!r}"


def _meant(stage: str, path: Path, what: str) -> bool:
    """An experiment, a study or a paper need not be there; another machine's name is a text like any."""
    absent = what == "missing" and (stage, path) in {
        ("evaluate", HISTORY), ("evaluate", DESCENT), ("evaluate", STUDY), ("report", STUDY), ("report", PUBLISHED),
        ("evaluate", PROTOCOL),
    }  # fmt: skip
    exploratory = (stage, path) == ("evaluate", PROTOCOL) and what in ("families = {}", "families: pcgrad gone")
    # a text may say anything, a ledger hold fewer claims, and its last sentence end earlier
    worded = path in (PUBLISHED, COSTS, RESULT) and what.endswith("= 'x'")
    optional = ("contrasts gone", "contrasts = {}", "section gone", "section: blocks gone")
    fewer = path == PUBLISHED and (what in ("but its end", *optional) or what.endswith((": 0 gone", " = []")))
    ordered = stage == "report" and what == "lines in another order"
    # labels of a line may be written anew; a cell that is asked for is then not there
    unseen = (stage, path, what[-4:]) == ("why", METRICS, "= {}")
    trained = (stage, path) == ("report", COSTS) and what.startswith("fingerprints")  # what only `train` needs
    return absent or exploratory or worded or fewer or ordered or unseen or trained


shallow, shallow_lines = functools.partial(json_of, depth=1), functools.partial(lines_of, depth=1)
CASES = {
    "prepare": {RAW: [arrays_of], IMAGES: [arrays_of], SKIPPED: [json_of]},
    "train": {
        IMAGES: [arrays_of], LABELS: [arrays_of], CHECKPOINT: [], RESULT: [shallow],
        HISTORY: [shallow_lines], COSTS: [shallow], SKIPPED: [json_of], PROTOCOL: [yaml_of], PUBLISHED: [],
    },
    "descend": {STARTS: [arrays_of]},
    "study": {
        STUDY: [shallow_lines], STUDY_COSTS: [shallow],
        LABELS: [arrays_of], TRIAL: [shallow],
    },
    "evaluate": {
        HISTORY: [shallow_lines], DESCENT: [], COSTS: [shallow], STUDY: [shallow_lines], STUDY_COSTS: [shallow],
        PUBLISHED: [yaml_of], PROTOCOL: [yaml_of],
    },
    "report": {
        HISTORY: [], COSTS: [shallow], METRICS: [shallow], CONTRASTS: [shallow], MEASURED: [shallow],
        VERDICT: [json_of], STUDY: [shallow_lines], STUDY_COSTS: [shallow], PUBLISHED: [yaml_of], BESIDE: [shallow],
        SUMMARY: [shallow], DEVIATIONS: [json_of], SKIPPED: [json_of], PROTOCOL: [yaml_of],
    },
    "why": {METRICS: [shallow], VERDICT: [json_of], HISTORY: [], COSTS: [], LOCK: [yaml_of], PUBLISHED: []},
}  # fmt: skip


@pytest.mark.parametrize("stage", CASES)
def test_a_damaged_file_is_named_or_made_again(stage, small):
    wrong = []
    for path, kinds in CASES[stage].items():
        whole = small.whole[path]
        alike = (own for p, own in sorted(small.whole.items()) if p.suffix == path.suffix and p.name != path.name)
        other = next(alike, small.whole[Path("params.yaml")])
        for what, content in (*bytes_of(whole, other), *(case for kind in kinds for case in kind(whole))):
            if content == whole or _meant(stage, path, what):
                continue
            if found := judge(small, stage, path, what, content):
                wrong.append(found)
    assert not wrong, f"{len(wrong)} of them:\n" + "\n".join(wrong)


@pytest.mark.parametrize("stage", ["prepare", "train", "study", "evaluate", "report"])
def test_a_full_disk_is_one_sentence_and_nothing_is_left(stage, small, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    for ours in (CHECKPOINT, RESULT):
        ours.unlink()
    if stage == "train":  # else there is nothing to train
        COSTS.write_text(COSTS.read_text().replace("fingerprint", "other"))
    if stage == "prepare":
        IMAGES.unlink()
    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(np, "save", full)
    code, _, err = small.run(stage)
    left = small.files() - set(small.whole)
    small.restore(IMAGES, LABELS, COSTS)
    last = err.splitlines()[-1]  # a study shows a bar, and says what it makes again
    assert (code, left) == (2, set()), err
    assert "cannot be written (No space left on device): make room" in last
    assert stage == "study" or len(err.splitlines()) == 1
    assert all(path.read_bytes() == small.whole[path] for path in OUTPUTS[stage])


@pytest.mark.parametrize("stage", ["train", "study"])
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WORLD_SIZE", "2", "error: `WORLD_SIZE` must be 1 or unset, found '2': "),
        ("--jobs", "-1", "error: `--jobs` must be a whole number from 1 to 1024, found '-1'."),
        ("--jobs", "many", "error: `--jobs` must be a whole number from 1 to 1024, found 'many'."),
    ],
)
def test_processes_that_cannot_be_meant_are_one_sentence(stage, name, value, said, small, monkeypatch):
    main, arguments = STAGES[stage]
    if name == "--jobs":
        monkeypatch.setitem(STAGES, stage, (main, [arguments[0], f"--jobs={value}"]))
    else:
        monkeypatch.setenv(name, value)
    code, _, err = small.run(stage)
    assert code == 2
    assert err.startswith(said)
    assert err.count("\n") == 1


def test_jobs_of_the_environment_are_read_alike(small, monkeypatch):
    monkeypatch.setenv("GRADSURGERY_JOBS", "abc")
    monkeypatch.setitem(STAGES, "train", (train.main, ["multi_mnist-sum"]))
    assert small.run("train") == (
        2,
        "",
        "error: `GRADSURGERY_JOBS` must be a whole number from 1 to 1024, found 'abc'.\n",
    )


def _kind(path: Path) -> tuple[str, ...]:
    """Files that the same code reads have one: where they lie, without the names of lines, problems and papers."""
    held = {"data/processed", "data/raw", "data/published", "reports/history", "reports/costs", "runs"}
    folders = ["/".join(path.parts[:n]) for n in range(1, len(path.parts))]
    found = [folder for folder in folders if folder in held]
    return (found[0], path.suffix) if found else path.parts


def test_every_file_that_a_stage_reads_is_damaged_somewhere(small):
    """No new file is read without a case; what `load` reads is damaged field by field in test_params_fuzz."""
    opened: set[Path] | None = None

    def note(event: str, arguments: tuple) -> None:
        if opened is not None and event == "open" and isinstance(arguments[0], str | os.PathLike):
            path = Path(os.path.abspath(arguments[0]))
            if path.is_relative_to(small.root) and path.relative_to(small.root) in small.whole:
                opened.add(path.relative_to(small.root))

    sys.addaudithook(note)
    untried = {}
    for stage in STAGES:
        if stage in ("train", "descend"):  # a run that is recorded reads no data
            HISTORY.unlink(missing_ok=True)
            DESCENT.unlink(missing_ok=True)
        opened = set()
        assert small.run(stage)[0] == 0
        read, opened = opened, None
        small.restore(*small.whole)
        assert read, stage
        alike = [path for name in STAGES if STAGES[name][0] is STAGES[stage][0] for path in CASES[name]]
        tried = {("params.yaml",), ("README.md",), *map(_kind, alike)}
        untried[stage] = sorted({_kind(path) for path in read} - tried)
    assert not any(untried.values()), untried
