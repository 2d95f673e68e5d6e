"""The layers' gradients in tables and in one sentence: words follow the numbers."""

from gradsurgery.evidence.observed_methods import observe
from gradsurgery.report import observed_figures, observed_tables
from gradsurgery.report.style import svg
from tests.histories import evidence_of
from tests.observing import Runs, See


def said(runs: Runs) -> str:
    found = observe(runs)
    assert found is not None
    return observed_tables.sentence(found, runs)


def test_the_sentence_follows_the_numbers(see: See) -> None:
    told = said(see({"sum": -0.3, "pcgrad": -0.1, "sum-half_batches": -0.3}, null=-0.1))
    assert told.startswith(
        "Scale smoke, track controlled, n = 4, 2 tasks, 3 shared layers. Trained with the sum, two tasks"
    )
    assert "agree less than two halves of one task's batch in 2 of 3 layers (layer1 -0." in told
    assert "], layer2 -0." in told
    assert "]) (95 %, Holm over 3). Curvature" in told
    assert "in the last: it rises (+6.000 [+6.000, +6.000])" in told
    quiet = said(see({"sum": 0.3, "pcgrad": 0.3}))
    assert "no layer was found in which the cosine between tasks lies below that of random directions (0)" in quiet

    def flatten(record: dict) -> None:
        for row in record["diagnostics"]:
            row["curvature"] = -float(row["step"])

    assert "in the last: it falls" in said(see({"sum": 0.0}, edit=flatten))


def test_of_many_layers_some_are_named_and_all_are_counted(see: See) -> None:
    told = said(see({"sum": -0.3, "pcgrad": 0.0}, sizes=[50] * 9))
    assert "in 9 of 9 layers (layer0 -0." in told


def test_one_seed_has_no_interval_and_breaks_nothing(see: See) -> None:
    runs = see({"sum": -0.3, "pcgrad": -0.1, "sum-half_batches": -0.3}, seeds=1, null=-0.1)
    assert "one seed has no interval" in said(runs)
    groups = {f"p-{method}": group for method, group in runs.items()}
    assert len(observed_tables.layer_table(evidence_of(groups))) == 3
    assert svg(observed_figures.over_layers(runs["sum-half_batches"]))


def test_tables_name_their_histories_and_shares_stay_shares(see: See) -> None:
    runs = see({"sum": -0.19, "pcgrad": 0.0})
    groups = {f"p-{method}": group for method, group in runs.items()}
    by_layer = observed_tables.layer_table(evidence_of(groups))
    assert [cell.target for cell in by_layer["trained with"]] == ["history/p-sum.jsonl"] * 3
    share = by_layer["steps below -2 sd of random directions (%)"][0]
    low, high = (float(number) for number in share.split("[")[1].rstrip("]").split(", "))
    assert 0.0 <= low < high <= 100.0
    assert by_layer["curvature, first third"][0] == "0.333 [0.333, 0.333]"
    by_method = observed_tables.method_table(evidence_of(groups))
    assert [cell.target for cell in by_method["method"]] == ["history/p-pcgrad.jsonl", "history/p-sum.jsonl"]
    assert by_method["cosine minus sum"][0].startswith("+0.190 [")
    assert list(by_method["n"]) == [4, 4]
