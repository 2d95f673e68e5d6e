"""dvc.yaml and `train` must agree on what makes an experiment stale, and stage `x` is `pipelines/x.py`."""

import re
from pathlib import Path

import yaml

from pipelines._params import load
from pipelines.train import sources

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
TABLES = {"train": PARAMS["experiments"], "sequel": PARAMS.get("sequels") or {}}
TRAINING = {path.parent.name: path.read_text(encoding="utf-8") for path in ROOT.glob("pipelines/*/dvc.yaml")}


def _resolved(template, item):
    def value(match):
        found = item
        for key in match[1].split("."):
            found = found[key]
        return found

    return re.sub(r"\$\{item\.([a-z_.]+)\}", value, template)


def _stage(problem, name):
    return yaml.safe_load(TRAINING[problem])["stages"][name]


def test_dvc_lists_exactly_the_sources_that_the_fingerprint_covers():
    params = load(ROOT / "params.yaml")
    for stage, table in TABLES.items():
        for problem, lines in table.items():
            for key, row in lines.items():
                deps = [_resolved(dep, row) for dep in _stage(problem, stage)["do"]["deps"]]
                listed = [ROOT / dep for dep in deps if not dep.startswith(("data/", "reports/"))]
                files = {file for each in listed for file in (each.glob("*.py") if each.is_dir() else [each])}
                assert files == set(sources(params.experiment(f"{problem}-{key}"))), key


def test_a_sequel_waits_for_the_history_it_starts_from():
    for problem in TABLES["sequel"]:
        assert "reports/history/${item.evidence}.jsonl" in _stage(problem, "sequel")["do"]["deps"]


def test_every_problem_trains_by_the_same_stages():
    assert set(TRAINING) == set(TABLES["train"])
    bodies = {"train": set(), "sequel": set()}
    for problem, text in TRAINING.items():
        stages = yaml.safe_load(text)["stages"]
        assert set(stages) == {stage for stage, table in TABLES.items() if problem in table}
        for stage, block in stages.items():
            assert block["foreach"] == f"${{{'experiments' if stage == 'train' else 'sequels'}.{problem}}}"
            bodies[stage].add(repr(block["do"]))
    assert all(len(found) <= 1 for found in bodies.values())


def test_every_stage_is_a_script_of_its_name():
    for name, stage in STAGES.items():
        command = stage.get("do", stage)["cmd"]
        assert re.match(rf"python -m pipelines\.{name}( |$)", command)
        assert (ROOT / "pipelines" / f"{name}.py").is_file()


def test_how_we_log_makes_no_training_stale():
    deps = _stage("multi_mnist", "train")["do"]["deps"]
    assert not [dep for dep in deps if dep.startswith("pipelines/") and dep != "pipelines/train.py"]


def test_seven_papers_methods_on_real_data_and_landscapes():
    used, problems, modules = set(), {}, set()
    for table in TABLES.values():
        for problem, lines in table.items():
            for row in lines.values():
                parts = {row[slot]["name"] for slot in ("transform", "rule", "aggregator", "balancer")}
                used |= parts
                problems.setdefault(problem, set()).update(parts)
                modules.add(row["module"])
    assert {"pcgrad", "cagrad", "sam_gs", "gcond", "recon", "dr_mgf", "drgrad"} <= used
    assert {"overlay", "census", "multi_exit", "superclass", "reconstruction", "synthetic", "landscape"} <= modules
    for overlay in ("multi_mnist", "multi_fashion", "multi_fashion_mnist"):
        assert len(problems[overlay]) >= 10
    for problem, parts in problems.items():
        assert parts & {"sum", "mean"}, f"{problem} needs its baseline"


def test_no_scale_block_is_an_alias():
    # `dvc exp run -S problems.<p>.laptop.epochs=6` silently changes nothing in a block that another one aliases
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert not re.findall(r"^ +(?:smoke|laptop|paper): \*.*$", text, flags=re.MULTILINE)
