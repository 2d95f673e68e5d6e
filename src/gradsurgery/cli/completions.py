"""A script that lets the shell complete commands, options and names: bash, and zsh by its bash mode.

eval "$(gradsurgery completions)"       in ~/.bashrc or ~/.zshrc
"""

import argparse

from gradsurgery import cli
from gradsurgery.core import discovery

_SCRIPT = """\
[ -n "$ZSH_VERSION" ] && autoload -U +X bashcompinit && bashcompinit
_gradsurgery() {
  local word="${COMP_WORDS[COMP_CWORD]}" words
  case "$COMP_CWORD:${COMP_WORDS[1]}" in
    1:*) words="%s" ;;
%s
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _gradsurgery gradsurgery
"""


def add(parser: argparse.ArgumentParser) -> None:
    pass


def main(arguments: argparse.Namespace) -> int:
    names = [name for kind in discovery.KINDS for name in discovery.available(kind)]
    cases = []
    for command in cli.available():
        try:
            parser = cli.parser_of(command)
        except (ValueError, ImportError):  # what needs the checkout, where there is none
            continue
        [own] = [action.choices[command] for action in parser._actions if isinstance(action.choices, dict)]
        options = [name for action in own._actions for name in action.option_strings if name.startswith("--")]
        cases.append(f'    *:{command}) words="{" ".join([*options, *names])}" ;;')
    print(_SCRIPT % (" ".join(cli.available()), "\n".join(cases)), end="")
    return 0
