"""The targets the house set itself, each judged on its worst case. A miss is a line of text, not an exit code."""

from collections.abc import Sequence

from benchmarks import aggregation, memory, step_time

NOISE = 1.03  # two medians closer than this are called equal
SAME = {"PCGrad": "pcgrad", "CAGrad": "cagrad"}  # a peer's name of a method -> ours


def judge(steps: Sequence[step_time.Row], alone: Sequence[aggregation.Row], peaks: Sequence[memory.Row]) -> list[str]:
    """One line per target: met or missed, with the case that came closest to missing it."""
    lines: list[str] = []
    time = {(r.case, r.tasks, r.variant): r.over_sum for r in steps}
    big = [r for r in steps if r.variant in ("ours pcgrad", "ours cagrad") and r.shared_parameters >= 10**6]
    if big:
        worst = max(big, key=lambda r: r.overhead)
        where = f"{worst.variant}, {worst.case}, K = {worst.tasks}"
        lines.append(
            _say(
                worst.overhead < 0.05,
                "overhead below 5 % of the step for P >= 1e6",
                f"{100 * worst.overhead:.1f} %",
                where,
            )
        )
    for peer, text in (
        ("torchjd-chunk1", "no slower than TorchJD, parallel_chunk_size=1"),
        ("torchjd-chunk1-gram", "no slower than TorchJD, parallel_chunk_size=1 and its Gramian option"),
        ("libmtl", "no slower than LibMTL"),
        ("torchjd", "faster than TorchJD's default"),
    ):
        pairs = [
            (value / time[case, tasks, f"ours {SAME[name]}"], case, tasks, name)
            for (case, tasks, variant), value in time.items()
            for who, _, name in [variant.partition(" ")]
            if who == peer and name in SAME
        ]
        if pairs:
            (low, case, tasks, name), high = min(pairs), max(pairs)[0]
            lines.append(
                _say(low * NOISE >= 1, text, f"{low:.2f} to {high:.2f} times our step", f"{name}, {case}, K = {tasks}")
            )
    cpu = {(r.tasks, r.variant): r.cpu_ms for r in alone}
    for peer, mine, factor in (("libmtl PCGrad", "ours pcgrad", 5), ("restated CAGrad", "ours cagrad", 3)):
        ratios = [(ms / cpu[tasks, mine], tasks) for (tasks, variant), ms in cpu.items() if variant == peer]
        if ratios:
            low, tasks = min(ratios)
            lines.append(
                _say(
                    low >= factor,
                    f"aggregation alone {factor} times faster than {peer}",
                    f"{low:.1f} times",
                    f"K = {tasks}",
                )
            )
    if peaks:
        mb = {(r.case, r.tasks, r.variant): r.peak_mb for r in peaks}
        shares = [
            (mb[case, tasks, f"ours {SAME[name]}"] / value, case, tasks, variant)
            for (case, tasks, variant), value in mb.items()
            for who, _, name in [variant.partition(" ")]
            if who not in ("ours", "sum", "floor") and name in SAME
        ]
        if shares:
            share, case, tasks, variant = max(shares)
            lines.append(
                _say(
                    share < 1,
                    "peak memory below every peer's",
                    f"{100 * share:.0f} % of it",
                    f"{variant}, {case}, K = {tasks}",
                )
            )
    return lines


def _say(met: bool, target: str, value: str, where: str) -> str:
    return f"{'met   ' if met else 'MISSED'}  {target}: {value} at worst ({where})"
