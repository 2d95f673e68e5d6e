"""Examples in the docstrings of what a user calls do what they say."""

import doctest
import importlib

import numpy as np
import pytest
import torch

MODULES = ["epochs", "matrix", "methods", "presets", "recon"]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    module = importlib.import_module(f"gradsurgery.{name}")
    found = doctest.testmod(module, extraglobs={"np": np, "torch": torch})
    assert found.attempted > 0
    assert found.failed == 0
