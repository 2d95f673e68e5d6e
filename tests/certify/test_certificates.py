"""docs/certificates.md is what the records say, and the records are what our methods do."""

import json

import pytest

from benchmarks import certificates
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


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in certificates.OURS]
)
def test_ours_regenerated_is_the_record(name):
    pytest.importorskip("torchjd")
    subject = certificates.subject_of("ours", name)
    wanted = [each for each in ALL if name not in QUICK or each.name != "agrees_torchjd"]
    found = {
        each["name"]: each for each in tables.to_json([examine(subject, w, certificates.EXAMPLES) for w in wanted])
    }
    for recorded in OURS[name]:
        if recorded["name"] in found:
            fresh = found[recorded["name"]]
            for part in ("verdict", "claimed", "tolerance", "says"):
                assert fresh[part] == recorded[part], recorded["name"]
