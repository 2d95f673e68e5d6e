"""What an extra brings is named in one sentence where it is missing."""

import pytest

from gradsurgery.core.extras import need


def test_what_is_there_passes():
    need("repro", "json", "math")


def test_the_first_that_is_missing_is_named_with_its_extra():
    with pytest.raises(ImportError) as refusal:
        need("repro", "json", "no_such_module", "nor_this")
    assert str(refusal.value) == (
        "`no_such_module` must be installed, found no such module: pip install 'gradsurgery[repro]'."
    )
