"""Where the site finds what `train` left: the report names a line, and only here it is known where that lies."""

from collections.abc import Mapping, Sequence

from gradsurgery.evidence.history import Run


def places(groups: Mapping[str, Sequence[Run]], others: Sequence[Mapping[str, Sequence[Run]]] = ()) -> dict[str, str]:
    """What `history/<line>.jsonl` and `costs/<line>.json` of the report's links stand for, under `reports/`.

    Of other scales than that of the report `history/<scale>/<line>.jsonl` does; a line that was run there alone, both.
    """
    found: dict[str, str] = {}
    for own in (groups, *others):
        for name, group in own.items():
            scale = group[0].scale
            for folder, ending in (("history", "jsonl"), ("costs", "json")):
                place = f"{folder}/{scale}/{group[0].family}/{name}.{ending}"
                found.setdefault(f"{folder}/{name}.{ending}", place)
                found[f"{folder}/{scale}/{name}.{ending}"] = place
    return found
