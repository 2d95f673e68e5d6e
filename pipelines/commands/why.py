"""Where a number of the report comes from: experiment, lock, commit, runs, data, environment.

gradsurgery why multi_mnist-pcgrad                    an experiment
gradsurgery why multi_mnist-pcgrad/left.accuracy      one cell of a table
gradsurgery why pcgrad/multi-mnist-left               a published record
"""

import argparse

from gradsurgery.cli import _checkout
from pipelines.why import explain, read_checkout


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a record, an experiment or <experiment>/<metric>")


def main(arguments: argparse.Namespace) -> int:
    root = _checkout.find()
    assert root is not None
    for heading, text in explain(arguments.name, read_checkout(root)):
        print(f"{heading:<12}{text}".rstrip())
    return 0
