"""A method by a typed name: one of ours, or one in a module or a file of one's own."""

import sys

import pytest

from gradsurgery.aggregators.pcgrad import PCGrad
from gradsurgery.cli._methods import importable, is_foreign, method


@pytest.fixture
def path(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    return sys.path


def test_a_colon_makes_it_somebody_elses():
    assert not is_foreign("pcgrad")
    assert is_foreign("mine:fn")


def test_a_file_can_be_imported_from_its_folder_once(path, tmp_path):
    before = len(path)
    for _ in range(2):
        assert importable(f"{tmp_path}/odd_one.py:fn") == "odd_one:fn"
    assert path[0] == str(tmp_path)
    assert len(path) == before + 1


def test_a_module_is_left_as_it_is(path):
    before = list(path)
    assert importable("json.decoder:JSONDecoder") == "json.decoder:JSONDecoder"
    assert path == before


def test_names_of_ours_and_files_of_ones_own_give_methods(path, tmp_path):
    (tmp_path / "typed_in_a_test.py").write_text("def halves(J):\n    return J.sum(0) / 2\n", encoding="utf-8")
    assert method("pcgrad") == PCGrad()
    assert method(f"{tmp_path}/typed_in_a_test.py:halves").name == "typed_in_a_test:halves"
    with pytest.raises(ValueError, match="found 'pcgrat'; did you mean pcgrad"):
        method("pcgrat")
