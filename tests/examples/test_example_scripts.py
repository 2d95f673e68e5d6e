"""Every script of examples/ runs as it is printed, stays short, and says something that is true of a run that works."""

import json
import os
import re
import runpy
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDS = {  # of each script the packages that the library does not ask for
    "accelerate_loop": ["accelerate"],
    "certify_your_own": ["hypothesis"],
    "dr_mgf_on_your_problem": ["sklearn"],
    "hf_trainer": ["transformers", "accelerate"],
    "lightning_module": ["lightning"],
    "lora": ["peft"],
    "recon_on_your_network": ["sklearn"],
    "torchjd_both_ways": ["torchjd", "quadprog"],
}
FALLING = [  # scripts that print losses as they train
    "accelerate_loop", "amp_accumulation", "dr_mgf_on_your_problem", "lightning_module", "lora", "plain_loop",
    "recon_on_your_network",
]  # fmt: skip
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("*.py"))
LOSSES = re.compile(r"losses ((?: ?[\d.]+)+)")


def _need(name):
    missing = [package for package in NEEDS.get(name, []) if find_spec(package) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    if NEEDS.get(name, ["sklearn"])[0] not in ("hypothesis", "sklearn", "torchjd"):
        warnings.simplefilter("default")  # other people's packages warn of what they like


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """What a script prints, by line; it runs in an empty folder, as a user's would."""

    def printed(name):
        _need(name)
        monkeypatch.chdir(tmp_path)
        with torch.random.fork_rng():
            runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return printed


def test_every_script_is_named_here():
    assert {*FALLING, *NEEDS} <= {*SCRIPTS}
    tested = {*FALLING, "certify_your_own", "drgrad_on_your_towers", "hf_trainer", "own_aggregator",
              "torchjd_both_ways", "two_processes"}  # fmt: skip
    assert tested == {*SCRIPTS}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_short_and_says_what_it_shows(name):
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 40
    assert text.startswith('"""')
    assert "print(" in text


@pytest.mark.parametrize("name", FALLING)
def test_losses_fall(run, name):
    rows = [[float(number) for number in found[1].split()] for line in run(name) if (found := LOSSES.search(line))]
    assert len(rows) > 2
    assert len(rows[0]) > 1
    assert all(last < 0.5 * first for first, last in zip(rows[0], rows[-1], strict=True))


def test_recon_splits_what_it_ranked_first(run):
    lines = run("recon_on_your_network")
    scores = [int(line.split()[1]) for line in lines[1:5]]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0


def test_drgrads_router_moves(run):
    first, *_, last = run("drgrad_on_your_towers")
    assert float(last.split()[1]) < float(first.split()[1])
    assert float(last.split()[-1]) != 0.5


def test_the_trainer_learns(run):
    assert float(run("hf_trainer")[-1].split()[-1]) < 0.9  # 1.386 where nothing is learnt


def test_both_engines_agree(run):
    lines = run("torchjd_both_ways")
    assert len(lines) == 2
    assert all(float(line.split()[-1]) < 1e-5 for line in lines)


def test_own_methods_are_methods(run):
    lines = run("own_aggregator")
    assert lines[0] == "conflict 1.0 cosine -0.447"
    assert [line.split()[0] for line in lines[1:4]] == ["pcgrad", "unit_sum", "Fading"]
    assert lines[2].split("= ")[1].startswith("[0.553, 0.894]")  # (1, 0) + (-1, 2) / sqrt(5)


def test_a_broken_claim_comes_with_gradients_that_show_it(run):
    lines = run("certify_your_own")
    assert "drop_opposed is certified: permutation, mean_descent." in lines
    assert "Claimed, and broken: non_conflict." in lines
    assert min(json.loads(lines[-1].removeprefix("non_conflict: J @ d = "))) < 0.0


def test_two_processes_stay_together():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(EXAMPLES / "two_processes.py")], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("2 processes, weights 0.0 apart")
    assert all(float(loss) < 0.2 for loss in done.stdout.split()[-2:])


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_it_says(monkeypatch, tmp_path):
    """By nbclient where it is installed, in a kernel of its own; else its code cells as one script."""
    notebook = json.loads((EXAMPLES / "landscapes.ipynb").read_text(encoding="utf-8"))
    assert not any(cell.get("outputs") for cell in notebook["cells"])
    monkeypatch.chdir(tmp_path)
    if all(find_spec(package) for package in ("nbclient", "nbformat", "ipykernel")):
        import nbformat
        from nbclient import NotebookClient

        made = nbformat.read(EXAMPLES / "landscapes.ipynb", as_version=4)
        nbformat.validate(made)
        NotebookClient(made, timeout=600).execute()
        texts = [out["text"] for cell in made.cells for out in cell.get("outputs", []) if "text" in out]
    else:
        code = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
        environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent / "src"), "MPLBACKEND": "Agg"}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        texts = [done.stdout]
    said = "".join(texts)
    assert "toy      2 of 2 starts solved" in said
    assert "literal  1 of 2 starts solved" in said
    cagrad = re.search(r"cagrad  mean loss at the ends \[(.*)\]", said)[1].split()
    assert cagrad.count("-15.09") == 3
