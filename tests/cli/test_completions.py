"""The script for the shell: it is bash, and offers every command and what the commands of the wheel take."""

import re
import shutil
import subprocess

import pytest

from gradsurgery import cli


@pytest.fixture
def script(capsys, monkeypatch, tmp_path):
    """As where there is no checkout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRADSURGERY_CHECKOUT", raising=False)
    monkeypatch.setattr("gradsurgery.cli._checkout.__file__", str(tmp_path / "a/b/c/d/e.py"))
    assert cli.main(["completions"]) == 0
    return capsys.readouterr().out


def test_every_command_is_offered_first(script):
    [words] = re.findall(r'1:\*\) words="(.*)" ;;', script)
    assert words.split() == cli.available()


def test_after_a_command_come_its_own_options_and_all_names(script):
    [words] = re.findall(r'\*:bench\) words="(.*)" ;;', script)
    assert {"--tasks", "--device", "pcgrad", "dr_mgf", "multi_exit"} <= set(words.split())
    assert "--claims" not in words.split()


def test_what_needs_the_checkout_is_left_out_where_there_is_none(script):
    assert "*:describe)" in script
    assert "*:compare)" not in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_reads_it(script):
    assert subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True).stderr == ""
