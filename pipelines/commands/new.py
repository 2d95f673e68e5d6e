"""Writes the files of a new problem, method or paper: code that works as it is, to be changed into your own.

    gradsurgery new problem my_digits     problems/my_digits.py, its test, and its blocks of params.yaml
    gradsurgery new method my_method      aggregators/my_method.py, its test, and its line of params.yaml
    gradsurgery new paper my_paper        data/published/my_paper.yaml, with a claim and a table, and its test

The problem is scikit-learn's digits (which digit, and is it odd?), the method brings gradients to one length, the
paper's claim is answered by an experiment that there is. Nothing is overwritten, and no line of another is changed.
"""

import argparse
import keyword
import re
from pathlib import Path

import gradsurgery
from gradsurgery.cli import _checkout
from gradsurgery.core import discovery
from pipelines._blocks import known
from pipelines._yaml import parse

TEMPLATES = Path(__file__).with_name("templates")
WORD = "sketch"  # what the templates are called, and nothing else in them
FILES = {
    "problem": {"problem.py": "src/gradsurgery/problems/{}.py", "problem_test.py": "tests/problems/test_{}.py"},
    "method": {"method.py": "src/gradsurgery/aggregators/{}.py", "method_test.py": "tests/aggregators/test_{}.py"},
    "paper": {"paper.yaml": "data/published/{}.yaml", "paper_test.py": "tests/ledger/test_{}.py"},
}
PARAMS = {"problem": "problem.yaml", "method": "method.yaml"}  # blocks that go into params.yaml
NEXT = {
    "problem": ["gradsurgery compare pcgrad sum --problem {}", "CONTRIBUTING.md: `Add a data set`"],
    "method": ["gradsurgery certify {}", "gradsurgery compare {} sum --problem multi_mnist",
               "python docs/generate.py, which writes its page"],
    "paper": ["make report, which judges its claims and writes its page"],
}  # fmt: skip
_BLOCK = re.compile(r"^(\w+):\n((?: .*\n|\n)+)", re.MULTILINE)


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", metavar="KIND", help=", ".join(FILES))
    parser.add_argument("name", metavar="NAME", help="its file and its name everywhere: lower case, as in my_digits")


def main(arguments: argparse.Namespace) -> int:
    root = _checkout.find()
    assert root is not None
    kind, name = known("KIND", arguments.kind, FILES), arguments.name
    texts = {root / place.format(name): _text(file, name) for file, place in FILES[kind].items()}
    _check_name(name, root, texts)
    if kind in PARAMS:
        params = root / "params.yaml"
        texts[params] = with_blocks(params.read_text(encoding="utf-8"), _text(PARAMS[kind], name), name)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
        print(f"{'added to' if path.name == 'params.yaml' else 'written'}: {path.relative_to(root)}")
    if not Path(gradsurgery.__file__).is_relative_to(root):
        print(f"this gradsurgery was installed from elsewhere and does not see it: pip install -e {root}")
    test = next(str(path.relative_to(root)) for path in texts if path.name.startswith("test_"))
    print("\n".join(["next:", *(f"  {each.format(name)}" for each in [f"pytest {test}", *NEXT[kind]])]))
    return 0


def with_blocks(params: str, blocks: str, name: str) -> str:
    """The text of params.yaml with each of the blocks at the end of the one that is called so.

    Raises ValueError for a name that a block holds already, and where params.yaml has not the form that we write.
    """
    before = parse(params, "params.yaml")
    for block, lines in _BLOCK.findall(blocks):
        if name in before[block]:
            raise ValueError(f"`NAME` must be new in `{block}` of params.yaml, found {name!r}.")
        found = next((match for match in _BLOCK.finditer(params) if match[1] == block), None)
        if found is None:
            raise ValueError(f"`{block}` of params.yaml must be a block of indented lines, found another form.")
        end = found.start(2) + len(found[2].rstrip())
        params = f"{params[:end]}\n{lines.rstrip()}{params[end:]}"
    parse(params, "params.yaml")
    return params


def _check_name(name: str, root: Path, paths: dict[Path, str]) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or keyword.iskeyword(name):
        raise ValueError(f"`NAME` must be a word of a-z, 0-9 and _ that Python can import, found {name!r:.60}.")
    for kind in discovery.KINDS:
        if name in discovery.available(kind):
            raise ValueError(f"`NAME` must be new, found {name!r} among the {kind}.")
    for path in paths:
        if path.exists():
            raise ValueError(f"`NAME` must be new, found {path.relative_to(root)}.")


def _text(template: str, name: str) -> str:
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    return text.replace(WORD.title(), name.title().replace("_", "")).replace(WORD, name)
