"""Links of the page into what `train` left: the report names a line, and only here it is known where that lies."""

import re
from collections.abc import Mapping, Sequence

from gradsurgery.evidence.history import Run

_LINK = re.compile(r'href="((?:\.\./)*(?:history|costs))/([^"/]+)(\.jsonl?)"')


def placed(files: Mapping[str, bytes], groups: Mapping[str, Sequence[Run]]) -> dict[str, bytes]:
    """The files; in pages `history/<line>.jsonl` and `costs/<line>.json` lead to the folders of scale and family."""

    def where(match: re.Match[str]) -> str:
        folder, name, ending = match.groups()
        run = groups[name][0]
        return f'href="{folder}/{run.scale}/{run.family}/{name}{ending}"'

    pages = {name: _LINK.sub(where, own.decode()).encode() for name, own in files.items() if name.endswith(".html")}
    return {**files, **pages}
