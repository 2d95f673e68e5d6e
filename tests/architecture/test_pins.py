"""One set of versions: pyproject.toml bounds it, constraints.txt pins it, environment.yml points at both."""

import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINS = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in LINES}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {
    extra: [line for line in lines if not line.startswith("gradsurgery[")]  # an extra may take another one along
    for extra, lines in PROJECT["optional-dependencies"].items()
}
DECLARED = [*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]


@pytest.mark.parametrize("line", DECLARED)
def test_what_is_declared_is_pinned_within_its_bounds(line):
    requirement = Requirement(line)
    name = canonicalize_name(requirement.name)
    assert name in PINS, f"{name} has no pin in constraints.txt"
    assert requirement.specifier.contains(PINS[name])


@pytest.mark.parametrize("line", LINES)
def test_a_pin_is_public_exact_and_without_address(line):
    assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)


def test_every_lower_bound_has_its_reason():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = text[text.index("dependencies = [") : text.index("[tool.")]
    for line in block.splitlines():
        if re.match(r'\s*"[^"]*>=', line):
            assert re.search(r"#\s*\d", line), f"no reason beside the bound: {line.strip()}"


def test_this_environment_is_the_pinned_one():
    for line in (*PROJECT["dependencies"], *EXTRAS["repro"], *EXTRAS["report"]):
        name = canonicalize_name(Requirement(line).name)
        assert version(name).split("+")[0] == PINS[name]


def test_conda_users_get_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python = next(each for each in environment["dependencies"] if str(each).startswith("python="))
    assert PROJECT["requires-python"] == f">={python.removeprefix('python=')}"
    pip = next(each["pip"] for each in environment["dependencies"] if isinstance(each, dict))
    assert pip[0] == "-c constraints.txt"
    assert set(re.findall(r"\w+", pip[1].removeprefix("-e ."))) == {"ct", "dev", "docs", "peers", "repro", "rl"}
    assert ".[dev,repro,peers,rl,ct,docs]" in (ROOT / "Makefile").read_text(encoding="utf-8")


# put together here, as this file is searched too
HOSTS = [".".join(words) for words in (
    ("registry", "npmjs"), ("npmjs", "org"), ("npmjs", "com"), ("deb", "debian"), ("pypi", "org"),
    ("pythonhosted", "org"),
)]  # fmt: skip


def test_no_registry_is_named_as_the_users_own_client_knows_it():
    patterns = [part for host in HOSTS for part in ("-e", host)]
    found = subprocess.run(["git", "grep", "-nIF", *patterns], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 1, found.stdout + found.stderr


def test_nobody_is_phoned():
    config = (ROOT / ".dvc/config").read_text(encoding="utf-8")
    assert "analytics = false" in config
    assert "check_update = false" in config
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "MLFLOW_DISABLE_TELEMETRY := true" in makefile
    assert "DVC_NO_ANALYTICS := 1" in makefile
