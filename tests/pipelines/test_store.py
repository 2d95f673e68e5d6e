"""The tracking store's address, in folders whose names have a meaning in addresses."""

import pytest
from sqlalchemy.engine import make_url

from pipelines._store import file_of, uri


@pytest.mark.parametrize("name", ["plain", "a b", "a?b=1", "a#b", "100%", "a%20b", "a%3Fb", "é 日本", "a&b;c", "a'b"])
def test_an_address_leads_back_to_its_file(name, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / name).mkdir()
    found = uri(tmp_path / name)
    assert file_of(found) == tmp_path / name / "mlflow.db"
    assert make_url(found).query == ({"uri": "true"} if {"?", "%"} & set(name) else {})


def test_a_named_store_is_taken_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert uri(tmp_path) == "http://127.0.0.1:9"
