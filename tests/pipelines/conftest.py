"""A checkout of its own, small enough to be run whole: this tree, two problems, four experiments, no download.

Its one data set is 60 random pictures that reach `fetch` through GRADSURGERY_MIRROR.
"""

import hashlib
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from gradsurgery.problems.overlay import prepare

ROOT = Path(__file__).resolve().parents[2]
CLAIM = "multi-mnist-left"  # answered here by PCGrad minus the sum
PROTOCOL = {
    "alpha": 0.05, "power": 0.8, "margins": {"accuracy": 0.005}, "seeds": {"first": 1000},
    "families": {"pcgrad": [{"claim": CLAIM, "scale": "overnight", "n": 3, "rule": "fixed n"}]},
}  # fmt: skip
EXPERIMENTS = {"multi_mnist": ("sum", "pcgrad"), "cagrad_toy": ("mean", "pcgrad")}


class Checkout:
    """A Git and DVC repository in a folder, and commands run in it as a user would."""

    def __init__(self, root: Path, mirror: Path):
        self.root = root
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(root / "src"),
            "GRADSURGERY_MIRROR": str(mirror),
            "XDG_CACHE_HOME": str(root.parent / "cache"),
            "OMP_NUM_THREADS": "1",
            "DVC_NO_ANALYTICS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        self.environment.pop("MLFLOW_TRACKING_URI", None)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True)
        assert not check or done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, cwd=self.root, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def python(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, *arguments, check=check)

    def commit(self) -> None:
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "test: state")


@pytest.fixture(scope="session")
def params():
    """params.yaml cut down to four experiments that take seconds."""
    document = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    document["scale"] = "smoke"
    document["methods"] = {key: document["methods"][key] for key in ("sum", "mean", "pcgrad")}
    document["studies"] = {
        "search": {
            "multi_mnist": {"methods": ["sum", "pcgrad"], "static": "sum", "trials": 2, "seed": 0, "seeds": [1, 2]}
        },
        "smoke": {"problems": ["multi_mnist"], "trials": 2},
    }
    document["problems"] = {name: document["problems"][name] for name in EXPERIMENTS}
    for name, keys in EXPERIMENTS.items():
        block = document["problems"][name]
        block["methods"] = dict.fromkeys(keys)
        block["overnight"] = None
        for scale in ("smoke", "laptop", "paper"):
            block.get(scale, {}).pop("methods", None)
    document["regression"]["exceptions"] = {}
    document["datasets"] = {"digits": digits({"train_images": {"file": "train-images-idx3-ubyte"}})}
    image = document["problems"]["multi_mnist"]
    image["prepare"] |= {"left": "digits", "right": "digits"}
    image["smoke"] |= {"seeds": [0, 1], "epochs": 4, "train_size": 64, "val_size": 8, "test_size": 16, "batch_size": 16}
    image["overnight"] = {**image["smoke"], "epochs": 2, "seeds": {"count": 3}}
    return document


@pytest.fixture(scope="session")
def pins():
    """data/pins.yaml of the small checkout."""
    return {"datasets": {"digits": {"train_images": "0" * 64}}}


def settle(folder: Path, params: Any, pins: Any) -> None:
    """Writes params.yaml and data/pins.yaml into a folder."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for path, document in ((folder / "params.yaml", params), (folder / "data/pins.yaml", pins)):
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="module")
def checkout(untouched, tmp_path_factory):
    """The small repository, committed and not yet run: every module's own, which its tests may leave as they like."""
    root = tmp_path_factory.mktemp("own") / "clone"
    shutil.copytree(untouched.root, root, symlinks=True)
    return Checkout(root, Path(untouched.environment["GRADSURGERY_MIRROR"]))


@pytest.fixture(scope="session")
def untouched(tmp_path_factory, params):
    """What every `checkout` is a copy of."""
    folder = tmp_path_factory.mktemp("checkout")
    root, mirror = folder / "clone", folder / "mirror"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("reports/") and not name.endswith("dvc.lock"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes((ROOT / name).read_bytes())
    dvc = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))
    dvc["stages"]["train"]["foreach"] = {family: {"after": "data/processed"} for family in ("baselines", "pcgrad")}
    (root / "dvc.yaml").write_text(yaml.safe_dump(dvc, sort_keys=False), encoding="utf-8")
    for name in ("reports/history", "reports/costs", "reports/study"):
        (root / name).mkdir(parents=True)
    (root / "reports/study/.gitkeep").touch()  # DVC asks for the folder, which a clone has where it holds a file
    (root / "reports/deviations.json").write_text("[]\n", encoding="utf-8")
    (root / "protocol.yaml").write_text(yaml.safe_dump(PROTOCOL, sort_keys=False), encoding="utf-8")
    for path in (root / "data/published").glob("*.yaml"):
        path.write_text(yaml.safe_dump(_published(path), sort_keys=False), encoding="utf-8")
    files, pinned = _pictures(mirror / "digits")
    settle(root, {**params, "datasets": {"digits": digits(files)}}, {"datasets": {"digits": pinned}})
    made = Checkout(root, mirror)
    made.run("git", "init", "-q")
    made.commit()
    return made


def digits(arrays: dict[str, dict[str, str]]) -> dict[str, Any]:
    """The data set's block of params.yaml."""
    return {"title": "random pictures", "licence": "none", "arrays": arrays, "sources": []}


def _published(path: Path) -> dict[str, Any]:
    """The ledger of one paper without the claims and rows that name an experiment this checkout lacks."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    names = {f"{problem}-{key}" for problem, keys in EXPERIMENTS.items() for key in keys}
    answers = {claim["id"]: claim.get("answered_by") or {} for claim in document["claims"]}
    named = {key: {answer.get("experiment"), answer.get("minus")} - {None} for key, answer in answers.items()}
    if CLAIM in answers:
        answers[CLAIM]["minus"] = "multi_mnist-sum"
        named[CLAIM] = set()
    document["claims"] = [claim for claim in document["claims"] if named[claim["id"]] <= names]
    for table in document["tables"]:
        for row in table["rows"].values():
            row.pop("experiment", None)
    return document


def _pictures(folder: Path) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Writes IDX files; their arrays as params.yaml holds them, and their pins."""
    rng, files, pins = np.random.default_rng(0), {}, {}
    folder.mkdir(parents=True)
    for split, count in (("train", 48), ("test", 12)):
        images = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for kind, array in (("images", images), ("labels", labels)):
            file = f"{split}-{kind}-idx{array.ndim}-ubyte"
            header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (folder / file).write_bytes(header + array.tobytes())
            files[f"{split}_{kind}"] = {"file": file}
            pins[f"{split}_{kind}"] = hashlib.sha256(array.tobytes()).hexdigest()
    return files, pins


def two_alike(
    checkout: Checkout, params: Any, pins: Any, base: Path, names: Sequence[str], **smoke: Any
) -> list[Checkout]:  # fmt: skip
    """Folders of these names with made-up digits and MultiMNIST's lines, whose settings at smoke are these."""
    problem = {**params["problems"]["multi_mnist"]}
    problem["smoke"] = {**problem["smoke"], **smoke}
    words = np.random.default_rng(0)
    digits = {
        f"{split}_{what}": words.integers(0, below, (n, *shape)).astype(np.uint8)
        for split, n in (("train", 48), ("test", 12))
        for what, below, shape in (("images", 256, (28, 28)), ("labels", 10, ()))
    }
    arrays = prepare({"digits": digits}, problem["prepare"])
    made = []
    for name in names:
        root = base / name
        shutil.copytree(checkout.root, root, symlinks=True)
        settle(root, {**params, "problems": {**params["problems"], "multi_mnist": problem}}, pins)
        (root / "data/processed/multi_mnist").mkdir(parents=True, exist_ok=True)
        for array, values in arrays.items():
            np.save(root / f"data/processed/multi_mnist/{array}.npy", values)
        made.append(Checkout(root, root.parent))
    return made
