"""The wheel as a user gets it: the library and nothing else, in an environment that holds only what it asks for."""

import os
import re
import subprocess
import sys
import venv
import zipfile
from email.parser import HeaderParser
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import gradsurgery

ROOT = Path(__file__).parents[2]
[LOOP] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
EXTRAS = {"certify", "cluster", "ct", "dev", "docs", "paper", "peers", "repro", "report", "rl"}
# What a method must be told where its fields have no defaults, and the one that an extra brings.
FIELDS = {"torchjd": {"method": "upgrad"}}
NEEDS = {"torchjd": "peers"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from what Git would commit, by the setuptools that is installed: no network, nothing left in the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "src", "pipelines"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in ["pyproject.toml", "README.md", "LICENSE", *listed.split("\0")[:-1]]:
        if (ROOT / name).exists():
            (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "tree" / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
               "--wheel-dir", str(folder), str(folder / "tree")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """An environment with the wheel and what it asks for, linked from this one instead of downloaded."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, symlinks=True)
    [site] = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    for name in _closure(_asked(wheel)):
        installed = distribution(name)
        for top in {file.parts[0] for file in installed.files or () if file.parts[0] not in ("..", "__pycache__")}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(installed.locate_file(top))))
    return folder / "bin/python"


def _metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [name] = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        return HeaderParser().parsestr(archive.read(name).decode())


def _asked(wheel):
    lines = map(Requirement, _metadata(wheel).get_all("Requires-Dist"))
    return [line for line in lines if line.marker is None or line.marker.evaluate({"extra": ""})]


def _closure(requirements):
    names = set()
    waiting = [line.name for line in requirements]
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            lines = map(Requirement, distribution(name).requires or ())
            waiting += [line.name for line in lines if line.marker is None or line.marker.evaluate({"extra": ""})]
    return names


def _run(python, code):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [python, "-I", "-W", "error::ImportWarning", "-c", code], capture_output=True, text=True, env=environment,
        cwd=python.parent,
    )  # fmt: skip


def test_it_holds_one_package_a_plugin_and_the_licence(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    info = f"gradsurgery-{gradsurgery.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"gradsurgery", "pytest_gradsurgery.py", info}
    assert "gradsurgery/py.typed" in names
    assert f"{info}/licenses/LICENSE" in names
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(f"{info}/entry_points.txt").decode() == (
            "[console_scripts]\ngradsurgery = gradsurgery.cli:main\n\n"
            "[pytest11]\npytest_gradsurgery = pytest_gradsurgery\n"
        )


def test_it_asks_for_three_packages_and_names_its_extras(wheel):
    assert sorted(line.name for line in _asked(wheel)) == ["jaxtyping", "numpy", "torch"]
    assert set(_metadata(wheel).get_all("Provides-Extra")) == EXTRAS
    assert _metadata(wheel)["Version"] == gradsurgery.__version__


def test_importing_it_imports_no_more_than_it_asks_for(python):
    done = _run(python, "import gradsurgery, gradsurgery.experiment, sys; print(*sorted(sys.modules))")
    assert done.returncode == 0, done.stderr
    tops = {name.split(".")[0] for name in done.stdout.split()}
    assert not tops & {"matplotlib", "pandas", "pipelines", "scipy", "sklearn", "torchjd", "yaml"}


def test_the_loop_of_the_readme_runs_with_every_aggregator(python):
    method = 'build("cagrad", c=0.4)'
    assert LOOP.count(method) == 1
    done = _run(
        python,
        f"""
from gradsurgery import available
for name in available():
    if name not in {sorted(NEEDS)}:
        exec({LOOP!r}.replace({method!r}, f"build({{name!r}})"), {{}})
        print(name)
""",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [name for name in gradsurgery.available() if name not in NEEDS]


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_a_method_that_an_extra_brings_names_the_extra(python, name):
    done = _run(python, f"import gradsurgery; gradsurgery.build({name!r}, **{FIELDS[name]})")
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: `{name}` must be installed, found no such module: pip install 'gradsurgery[{NEEDS[name]}]'."
    )


def test_the_command_looks_methods_up_times_them_and_says_what_it_lacks(python):
    def typed(*arguments):
        return _run(python, f"import sys; from gradsurgery.cli import main; sys.exit(main({list(arguments)}))")

    assert " pcgrad " in typed("list", "methods").stdout
    assert "  c = 0.5: non-negative" in typed("describe", "cagrad").stdout
    assert typed("bench", "pcgrad", "--parameters", "100", "--seconds", "1").returncode == 0
    done = typed("compare", "mine:fn", "--problem", "multi_mnist")
    assert done.returncode == 2
    assert done.stderr.startswith("error: `gradsurgery compare` needs a checkout of the repository")


def test_every_method_rule_problem_and_network_can_be_found_without_an_extra(python):
    done = _run(
        python,
        """
from gradsurgery.core import discovery
print(sum(discovery.find(kind, name) is not None for kind in discovery.KINDS for name in discovery.available(kind)))
""",
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30


@pytest.mark.parametrize("package", ["evidence", "ledger.records", "report"])
def test_what_judges_and_draws_names_its_extra(python, package):
    done = _run(python, f"import gradsurgery.{package}")
    assert done.returncode != 0
    assert re.fullmatch(
        r"ImportError: `\w+` must be installed, found no such module: pip install 'gradsurgery\[report\]'\.",
        done.stderr.splitlines()[-1],
    )
