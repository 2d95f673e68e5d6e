"""argparse, but for what it says of a wrong option: one sentence that names the nearest ones."""

import argparse
import re
from typing import NoReturn

from gradsurgery.core.discovery import did_you_mean

_UNKNOWN = re.compile(r"unrecognized arguments: (\S+)")


class Parser(argparse.ArgumentParser):
    """Raises ValueError for wrong arguments, and takes no option that is not written out."""

    def __init__(self, *arguments: object, **more: object) -> None:
        super().__init__(*arguments, **{**more, "allow_abbrev": False})  # type: ignore[arg-type]

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """As argparse has it; a subcommand says of its own unknown options which ones it has."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        if unknown := _UNKNOWN.match(message):
            options = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
            given = unknown[1].partition("=")[0]
            kind = "option" if given.startswith("-") else "argument"
            raise ValueError(
                f"`{given}` is no {kind} of `{self.prog}`; its options are: {', '.join(options)}"
                f"{did_you_mean(given, options)}"
            )
        raise ValueError(f"`{self.prog}`: {message}; see --help.")
