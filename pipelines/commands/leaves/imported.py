"""A method of the user's own as a leaf: `aggregator: {name: imported, target: "my_mod:fn", sha256: ..}`.

It lies outside the library so that its name means something in the processes of `gradsurgery run` and `compare` only.
"""

from gradsurgery.core.interfaces import Method
from gradsurgery.foreign import load


class Imported:
    """The method itself takes this one's place: the engine sees what kind it is, as with any of ours.

    Args:
        target: `module:name`.
        sha256: of the files behind it, so that an edit of one makes the runs stale.
    """

    def __new__(cls, target: str, sha256: str) -> Method:  # type: ignore[misc]
        return load(target)

    def __init__(self, target: str, sha256: str) -> None:
        """Never called; discovery reads the fields here."""
