"""dvc.yaml must know whatever a run's fingerprint covers, and stage `x` is `pipelines/x.py`."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

from pipelines._fingerprint import sources
from pipelines._params import load

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PARAMS = load(ROOT / "params.yaml")
TRAIN = STAGES["train"]["do"]


def test_dvc_knows_every_source_that_a_fingerprint_covers_and_training_depends_on_no_other():
    listed = [ROOT / dep for dep in TRAIN["deps"] if dep.endswith(".py") or dep.startswith("src")]
    known = {file for each in listed for file in (each.glob("*.py") if each.is_dir() else [each])}
    covered = {file for line in PARAMS.experiments.values() for file in sources(line)}
    assert covered <= known
    assert [dep for dep in TRAIN["deps"] if dep.startswith("pipelines/")] == ["pipelines/_run.py"]


def test_every_family_is_a_stage_that_waits_for_its_evidence():
    lines = PARAMS.experiments.values()
    assert set(STAGES["train"]["foreach"]) == {line.family for line in lines}
    for line in lines:
        if evidence := line.declaration.get("evidence"):
            folder = f"reports/history/${{scale}}/{PARAMS.experiments[evidence].family}"
            assert STAGES["train"]["foreach"][line.family]["after"] == folder


def test_every_stage_is_a_script_of_its_name():
    for name, stage in STAGES.items():
        command = stage.get("do", stage)["cmd"]
        assert re.match(rf"python -m pipelines\.{name}( |$)", command)
        assert (ROOT / "pipelines" / f"{name}.py").is_file()


def test_no_stage_waits_for_what_it_may_never_use():
    """scipy.stats alone takes longer to import than all of gradsurgery and pipelines; the report's seaborn needs it."""
    stages = ", ".join(f"pipelines.{name}" for name in STAGES if name != "report")
    asked = f"import sys, {stages}; print(*sys.modules)"
    there = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "gradsurgery.evidence.contrasts" in there.stdout.split()
    assert {"scipy.stats", "scipy.optimize", "mlflow"}.isdisjoint(there.stdout.split())


def test_seven_papers_methods_on_real_data_and_landscapes():
    used, problems, modules = set(), {}, set()
    for line in PARAMS.experiments.values():
        parts = {line.declaration[slot]["name"] for slot in ("transform", "rule", "aggregator", "balancer")}
        used |= parts
        problems.setdefault(line.problem, set()).update(parts)
        modules.add(line.declaration["module"])
    assert {"pcgrad", "cagrad", "sam_gs", "gcond", "recon", "dr_mgf", "drgrad"} <= used
    assert {
        "overlay",
        "census",
        "multi_exit",
        "superclass",
        "reconstruction",
        "synthetic",
        "landscape",
        "dial",
        "dense",
    } <= modules
    for problem, parts in problems.items():
        assert parts & {"sum", "mean"}, f"{problem} needs its baseline"


def test_overlays_compare_many_methods_where_claims_are_decided():
    methods = dict[str, set[str]]()
    for line in load(ROOT / "params.yaml", scale="overnight").experiments.values():
        methods.setdefault(line.problem, set()).add(line.method)
    for overlay in ("multi_mnist", "multi_fashion_mnist"):  # no claim is about MultiFashion
        assert methods[overlay] >= {"sum", "mgda", "pcgrad", "cagrad-c0_5", "sam_gs", "gcond-raw", "static-30"}


def test_params_yaml_has_no_aliases():
    # `dvc exp run -S problems.<p>.laptop.epochs=6` silently changes nothing in a block that another one aliases
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert not re.findall(r"[:,\[] [&*]\w|<<:", text)
