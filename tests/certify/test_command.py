"""`gradsurgery certify`: what it prints, as JSON too, and its exit codes."""

import json

import pytest

from gradsurgery.cli import main

GOOD, BAD = "tests.certify.broken:min_norm", "tests.certify.broken:wrong_sign"
FEW = ("--examples", "15")


def test_claims_of_the_attribute_are_certified(capsys):
    assert main(["certify", GOOD, "--only", "non_conflict,linear_scaling", *FEW]) == 0
    printed = capsys.readouterr().out
    assert "non_conflict          yes      holds           1e-06" in printed
    assert "linear_scaling        no       fails" in printed
    assert "    J = torch.tensor([[" in printed
    assert f"{GOOD} is certified: non_conflict." in printed


def test_a_broken_claim_is_exit_code_1_and_json_says_which(capsys):
    code = main(["certify", BAD, "--claims", "non_conflict:1e-3,shape", "--only", "non_conflict,shape", "--json", *FEW])
    assert code == 1
    found = json.loads(capsys.readouterr().out)
    assert found["broken"] == ["non_conflict"]
    by_name = {each["name"]: each for each in found["findings"]}
    assert by_name["non_conflict"]["tolerance"] == 1e-3
    assert by_name["non_conflict"]["counterexample"].startswith("torch.tensor([[")
    assert by_name["shape"]["verdict"] == "holds"


def test_the_same_failure_without_the_claim_is_exit_code_0():
    assert main(["certify", BAD, "--only", "non_conflict", *FEW]) == 0


def test_what_is_infinite_is_a_text_in_json(capsys):
    assert main(["certify", "tests.certify.broken:divides_by_zero", "--only", "zero_rows", "--json", *FEW]) == 0
    [finding] = json.loads(capsys.readouterr().out)["findings"]
    assert finding["worst"] == "inf"


def test_ours_by_name_with_its_own_claims(capsys):
    assert main(["certify", "cagrad", "--set", "c=2.0", "--only", "non_conflict,mean_descent", *FEW]) == 0
    printed = capsys.readouterr().out
    assert "non_conflict          yes      holds" in printed
    assert "mean_descent          no       holds" in printed


def test_properties_are_listed(capsys):
    assert main(["certify", "--properties"]) == 0
    assert "non_conflict          <g_k, d> >= 0 for every task\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "`METHOD` must be given"),
        (["tests.certify.broken:weights_only"], "must return a direction"),
        (["tests.certify.broken:nothing"], "found no `nothing` there"),
        ([GOOD, "--only", "non_conflct"], "did you mean non_conflict"),
        ([GOOD, "--claims", "shape:x"], "`--claims` must give shape a tolerance of zero or more, found 'x'"),
        ([GOOD, "--examples", "0"], "`--examples` must be a whole number from 1 on, found '0'"),
        ([GOOD, "--tasks", "3-x"], "`--tasks` must be a whole number"),
        ([GOOD, "--set", "c=1"], "`fields` must be those of a method of ours"),
        (["cagrad", "--set", "c"], "`--set` must be FIELD=VALUE"),
        ([GOOD, "--as", "cagrad:c=x"], "`as` must be a method and its numbers"),
    ],
    ids=str,
)
def test_a_wrong_input_is_exit_code_2_and_one_sentence(arguments, message, capsys):
    assert main(["certify", *arguments]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_without_hypothesis_it_names_the_extra(monkeypatch, capsys):
    monkeypatch.setattr("gradsurgery.core.extras.find_spec", lambda name: None)
    assert main(["certify", GOOD]) == 2
    assert "pip install 'gradsurgery[certify]'" in capsys.readouterr().err
