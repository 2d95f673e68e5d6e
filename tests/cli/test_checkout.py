"""Where the repository behind the library is looked for, on folders made in the test."""

import sys

import pytest

from gradsurgery.cli import _checkout


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder that looks like one; this process is elsewhere, and so is the package."""
    monkeypatch.delenv(_checkout.VARIABLE, raising=False)
    monkeypatch.setattr(_checkout, "__file__", str(tmp_path / "site/gradsurgery/cli/_checkout.py"))
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "clone"
    (made / "pipelines" / "commands").mkdir(parents=True)
    (made / "params.yaml").touch()
    (made / "deep" / "er").mkdir(parents=True)
    return made


def test_it_is_found_around_the_current_folder(checkout, monkeypatch):
    assert _checkout.find() is None
    monkeypatch.chdir(checkout / "deep" / "er")
    assert _checkout.find() == checkout


def test_the_variable_comes_first_and_must_name_one(checkout, monkeypatch):
    monkeypatch.setenv(_checkout.VARIABLE, str(checkout))
    assert _checkout.find() == checkout
    monkeypatch.setenv(_checkout.VARIABLE, str(checkout / "deep"))
    with pytest.raises(ValueError, match=r"`GRADSURGERY_CHECKOUT` must be a checkout of gradsurgery, found '.*deep'"):
        _checkout.find()


def test_a_folder_without_params_yaml_is_none(checkout, monkeypatch):
    (checkout / "params.yaml").unlink()
    monkeypatch.chdir(checkout)
    assert _checkout.find() is None


def test_without_one_a_command_says_what_to_do_and_no_problem_is_known(checkout, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert _checkout.problems() == {}
    with pytest.raises(ValueError, match=r"`gradsurgery why` needs a checkout of the repository, .* found none around"):
        _checkout.command("why")
