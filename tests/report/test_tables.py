"""metrics.json as tables: columns, digits, signs, and links that read as their text."""

import pandas as pd

from gradsurgery.report.tables import source


def test_a_linked_cell_reads_as_its_text() -> None:
    cell = source("p-sum", "sum")
    assert cell == "sum"
    assert cell != source("p-sum", "PCGrad")
    assert cell != 3
    frame = pd.DataFrame([{"method": cell, "n": 3}, {"method": source("p-pcgrad", "PCGrad"), "n": 2}])
    assert frame["method"][0].target == "history/p-sum.jsonl", "pandas keeps the link"
    assert frame.set_index("method").loc["PCGrad", "n"] == 2
    assert frame.to_csv(index=False) == "method,n\nsum,3\nPCGrad,2\n"
