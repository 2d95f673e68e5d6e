"""Where the site finds what `train` left: the report names a line, and only here it is known where that lies."""

from collections.abc import Mapping, Sequence

from gradsurgery.evidence.history import Run


def places(groups: Mapping[str, Sequence[Run]]) -> dict[str, str]:
    """What `history/<line>.jsonl` and `costs/<line>.json` of the report's links stand for, under `reports/`."""
    found = {}
    for name, group in groups.items():
        for folder, ending in (("history", "jsonl"), ("costs", "json")):
            found[f"{folder}/{name}.{ending}"] = f"{folder}/{group[0].scale}/{group[0].family}/{name}.{ending}"
    return found
