"""PCGrad's condition in words: the sentence and the table follow the counts of made-up steps."""

import json
from collections.abc import Callable

from gradsurgery.evidence.history import parse
from gradsurgery.report import condition
from tests.evidence.test_pcgrad_condition import make
from tests.histories import evidence_of


def test_the_sentence_and_the_table_follow_the_counts(made_up: Callable[..., dict]) -> None:
    groups = {"p-sum": make(made_up), "p-pcgrad": make(made_up, "pcgrad"), "p-dwa": make(made_up, "dwa")}
    told = condition.sentence(evidence_of(groups))
    assert "(stated for two tasks; 1 problem, trained with sum or PCGrad): of 24 diagnosed steps 20 conflict" in told
    assert "16 meet part (a), 12 of them also what part (b) implies" in told
    assert "of the 24 steps with a recorded curvature 8 do so where it is positive. The last lie in p." in told
    table = condition.table(evidence_of(groups))
    assert [cell.target for cell in table["method"]] == ["history/p-pcgrad.jsonl", "history/p-sum.jsonl"]
    assert list(table["(a) cosine at most -Phi (%)"]) == ["66.7 [34.9, 90.1]"] * 2
    assert list(table["n"]) == [2, 2]
    mild = [made_up("p", "sum", seed, 0.0) for seed in (0, 1)]
    for record in mild:
        for row in record["diagnostics"]:
            row["mean_cosine"], row["magnitude_similarity"] = -0.1, 0.9
    assert condition.sentence(evidence_of({"p-sum": parse([json.dumps(r) for r in mild], "h")})).endswith(
        "of 60 diagnosed steps 60 conflict, and none meets part (a), a cosine of at most minus the magnitude "
        "similarity: it held in none of them."
    )
