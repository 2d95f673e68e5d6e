"""One plain sentence on a problem, made from the numbers and never stronger than they are."""

from collections.abc import Mapping, Sequence
from typing import Any

from gradsurgery.evidence.measures import capital, measure
from gradsurgery.report.style import label

Metrics = Mapping[str, Mapping[str, Any]]


def landscape_sentence(problem: str, metrics: Metrics) -> str:
    """How many starts each method solves, and which are stuck."""
    rows = {r["method"]: r["landscape"] for r in metrics.values() if r["problem"] == problem}
    starts = next(iter(rows.values()))["starts"]
    parts = []
    for count in sorted({row["solved"] for row in rows.values()}, reverse=True):
        names = ", ".join(f"({label(m)})" if "," in label(m) else label(m) for m in rows if rows[m]["solved"] == count)
        many = {starts: f"all {starts} starts", 0: "none"}.get(count, str(count))
        parts.append(f"from {many}: {names}")
    sentence = f"Solved {'; '.join(parts)}."
    stuck = [f"{label(m)} from {row['stuck']}" for m, row in rows.items() if row["stuck"]]
    return f"{sentence} Stuck above zero loss, of {starts} starts: {'; '.join(stuck)}." if stuck else sentence


def image_sentence(problem: str, metrics: Metrics) -> str:
    """Which methods differ from the sum beyond the noise of seeds and test set, in which direction and by how much.

    Of the mean over tasks where every task has the same metric, else one sentence for each kind of metric. A line that
    may not stand in the controlled table (`excluded`), or is of another track than the sum, is only named: it trains
    on other terms.
    """
    paired = [r for r in metrics.values() if r["problem"] == problem and r.get("minus_sum")]
    track = next((r["track"] for r in metrics.values() if (r["problem"], r["method"]) == (problem, "sum")), None)
    records = [r for r in paired if not r.get("excluded") and r["track"] == track]
    if not records:
        return "The sum was not run to its end, so that nothing can be compared with it."
    names = ["all"] if all("all" in r["minus_sum"] for r in records) else _kinds(records[0]["minus_sum"])
    sentence = " ".join(_metric_sentence(name, records) for name in names)
    outside = "; ".join(f"{label(r['method'])} ({_why_outside(r)})" for r in paired if r not in records)
    return f"{sentence} Outside this comparison: {outside}." if outside else sentence


def _why_outside(record: Mapping[str, Any]) -> str:
    return "breaks its terms" if record.get("excluded") else f"track {record['track']}"


def _kinds(differences: Mapping[str, Any]) -> list[str]:
    return [name for name in differences if name.startswith("all.")]


def _metric_sentence(name: str, records: Sequence[Mapping[str, Any]]) -> str:
    first = records[0]["minus_sum"]
    metric = name if name != "all" else _kinds(first)[0]
    shown, accuracy = measure(metric), metric.endswith(".accuracy")
    known = all("test_noise" in r["minus_sum"][name] for r in records)
    groups: dict[str, list[str]] = {"better": [], "worse": [], "same": [], "alone": []}
    best_first = sorted(records, key=lambda r: r["minus_sum"][name]["mean"], reverse=first[name]["higher"])
    for record in best_first:
        entry, method = record["minus_sum"][name], label(record["method"])
        if entry["ci95"] is None:
            groups["alone"].append(method)
            continue
        mean, low, high = (f"{shown.factor * v:+.{shown.digits}f}" for v in (entry["mean"], *entry["ci95"]))
        text = f"{method} ({mean} [{low}, {high}])"
        found = entry["ci95"][0] > 0 or entry["ci95"][1] < 0
        found = found and abs(entry["mean"]) > entry.get("test_noise", 0.0) and (entry.get("p_holm") or 0.0) < 0.05
        place = "same" if not found else "better" if (entry["mean"] > 0) == entry["higher"] else "worse"
        groups[place].append(text if found else method)
    words = {
        "better": "more accurate than the sum" if accuracy else "better than the sum",
        "worse": "less accurate" if accuracy else "worse",
        "same": f"no difference detected beyond the noise of seeds{' and test set' if known else ''}",
        "alone": "one seed only, no interval",
    }
    sentence = "; ".join(f"{words[key]}: {', '.join(methods)}" for key, methods in groups.items() if methods)
    kind = metric.removeprefix("all.")
    tasks = [key for key in first if key.endswith(f".{kind}") and not key.startswith("all.")]
    told = f"{shown.step} of {shown.name}" if shown.step else shown.name
    told = f"{told}, mean of tasks" if len(tasks) > 1 else told
    tail = f"paired over {max(r['n'] for r in records)} seeds, scale {records[0]['scale']}"
    holm = all("p_holm" in r["minus_sum"][name] for r in records)
    tail += f"; {'corrected (Holm)' if holm else 'uncorrected'} for {len(records)} comparisons."
    return f"{capital(sentence)}. {capital(told)}, {tail}"
