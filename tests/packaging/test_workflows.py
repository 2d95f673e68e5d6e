"""What a forge runs must exist: it cannot be run here."""

import os
import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CI = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
STEPS = [step for job in yaml.safe_load(CI)["jobs"].values() for step in job["steps"]]


def test_what_a_forge_runs_exists():
    ran = " ".join(step.get("run", "") for step in STEPS)
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert ".ci/run" in ran
    folders = re.findall(r"tests/\w+", ran)
    assert folders
    assert all((ROOT / folder).is_dir() for folder in folders)


def test_every_python_that_the_package_admits_is_tried():
    least = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    tried = yaml.safe_load(CI)["jobs"]["library"]["strategy"]["matrix"]
    assert least == f">={tried['python'][0]}"
    assert {"lowest"} == {one["bounds"] for one in tried["include"]} - {tried["bounds"][0]}
