"""dvc.yaml and `train` must agree on what makes an experiment stale, and stage `x` is `pipelines/x.py`."""

import re
from pathlib import Path

import yaml

from pipelines._params import load
from pipelines.train import sources

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
TABLE = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["experiments"]


def _resolved(template, item):
    def value(match):
        found = item
        for key in match[1].split("."):
            found = found[key]
        return found

    return re.sub(r"\$\{item\.([a-z_.]+)\}", value, template)


def test_dvc_lists_exactly_the_sources_that_the_fingerprint_covers():
    params = load(ROOT / "params.yaml")
    for name, row in TABLE.items():
        listed = {ROOT / _resolved(dep, row) for dep in STAGES["train"]["do"]["deps"] if not dep.startswith("data/")}
        files = {file for each in listed for file in (each.glob("*.py") if each.is_dir() else [each])}
        assert files == set(sources(params.experiment(name))), name


def test_every_stage_is_a_script_of_its_name():
    for name, stage in STAGES.items():
        command = stage.get("do", stage)["cmd"]
        assert re.match(rf"python -m pipelines\.{name}( |$)", command)
        assert (ROOT / "pipelines" / f"{name}.py").is_file()


def test_how_we_log_makes_no_training_stale():
    deps = STAGES["train"]["do"]["deps"]
    assert not [dep for dep in deps if dep.startswith("pipelines/") and dep != "pipelines/train.py"]


def test_ten_methods_three_image_problems_four_landscapes():
    kinds = {}
    for row in TABLE.values():
        kinds.setdefault(row["module"], {}).setdefault(row["problem"], set()).add(
            (row["aggregator"]["name"], row["balancer"]["name"])
        )
    assert len(kinds["overlay"]) >= 3
    assert all(len(methods) >= 10 for methods in kinds["overlay"].values())
    assert len(kinds["landscape"]) >= 4


def test_no_scale_block_is_an_alias():
    # `dvc exp run -S problems.<p>.laptop.epochs=6` silently changes nothing in a block that another one aliases
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert not re.findall(r"^ +(?:smoke|laptop|paper): \*.*$", text, flags=re.MULTILINE)
