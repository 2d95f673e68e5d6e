"""docs/certificates.md is what the records say, and the records are what our methods do."""

import json

import pytest
import torch

from benchmarks import certificates, certificates_page
from gradsurgery.certify import tables
from gradsurgery.certify.search import ALL, examine

RECORDS = {
    file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(certificates.RESULTS.glob("*.json"))
}
OURS = {each["name"]: each["findings"] for each in RECORDS["ours"]["methods"]}
QUICK = ("mean", "mgda")  # of the others all is regenerated where there is time for it


def test_the_page_is_what_the_records_say():
    assert certificates.PAGE.read_text(encoding="utf-8") == certificates.written(), "run -m benchmarks.certificates"


def test_every_method_that_is_named_has_its_record():
    named = {"ours": certificates.OURS, "torchjd": certificates.TORCHJD, "libmtl": certificates.LIBMTL}
    for family, record in RECORDS.items():
        assert {each["name"] for each in record["methods"]} == set(named[family])
        for each in record["methods"]:
            assert [finding["name"] for finding in each["findings"]] == [known.name for known in ALL]


def test_nothing_that_we_claim_is_broken():
    broken = [
        (name, f["name"]) for name, all_of in OURS.items() for f in all_of if f["claimed"] and f["verdict"] == "fails"
    ]
    assert broken == []


def test_what_contradicts_somebody_is_worked_out_by_hand():
    broken = {
        (each["name"], finding["name"])
        for record in RECORDS.values()
        for each in record["methods"]
        for finding in each["findings"]
        if finding["claimed"] and finding["verdict"] == "fails"
    }
    assert broken == set(certificates_page.BY_HAND)


@pytest.mark.parametrize("name", ["DualProj", "UPGrad"])
def test_the_regularised_projection_conflicts_as_far_as_the_page_says(name):
    """min v'(G / 901 + 1e-4 I) v over v >= (1/2, 1/2), G = [[900, -30], [-30, 1]]: v = (1/2, 15 / (1 + 901e-4))."""
    made, linalg = getattr(pytest.importorskip("torchjd.aggregation"), name), pytest.importorskip("torchjd.linalg")
    J = torch.tensor([[30.0], [-1.0]], dtype=torch.float64)
    by_hand = 30.0 * 0.5 - 15.0 / (1.0 + 901e-4)
    assert by_hand == pytest.approx(1.24, abs=1e-3)
    assert float(made()(J)) == pytest.approx(by_hand, rel=1e-3)
    exact = made(projector=linalg.QuadprogProjector(norm_eps=0.0, reg_eps=1e-10))
    assert 0.0 <= float(exact(J)) < 1e-5


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in certificates.OURS]
)
def test_ours_regenerated_is_the_record(name):
    pytest.importorskip("torchjd")
    subject = certificates.subject_of("ours", name)
    wanted = [each for each in ALL if name not in QUICK or each.name != "agrees_torchjd"]
    found = {
        each["name"]: each
        for each in tables.to_json([examine(subject, w, certificates.EXAMPLES, shrink=False) for w in wanted])
    }
    for recorded in OURS[name]:
        if recorded["name"] in found:
            fresh = found[recorded["name"]]
            for part in ("verdict", "claimed", "tolerance", "says"):
                assert fresh[part] == recorded[part], recorded["name"]
