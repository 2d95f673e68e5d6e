"""Declarations without data: equal parts are built once, and a wrong one is refused every time."""

import pytest

from gradsurgery.core import declaration as declared
from gradsurgery.core.declaration import problem_of, validate


def test_equal_declarations_share_what_is_built(declare):
    assert problem_of(declare()) is problem_of(declare("pcgrad"))
    assert problem_of(declare()).tasks == ("left", "right")
    changed = declare()
    changed["settings"] = changed["settings"] | {"lr": 0.5}
    assert problem_of(changed) is not problem_of(declare())


def test_an_equal_line_is_not_built_again(declare, monkeypatch):
    validate(declare("cagrad"))
    built = []
    original = declared.build
    monkeypatch.setattr(declared, "build", lambda kind, name, **f: built.append(name) or original(kind, name, **f))
    validate(declare("cagrad"))
    assert built == []
    validate(declare({"name": "cagrad", "c": 0.123}))
    assert built == ["cagrad"]


def test_a_wrong_declaration_is_refused_again(declare):
    wrong = declare({"name": "cagrad", "c": True})
    for _ in range(2):
        with pytest.raises(ValueError, match=r"`cagrad\.c` must be a number, found True"):
            validate(wrong)
    validate(declare({"name": "cagrad", "c": 1}))
    validate(declare({"name": "cagrad", "c": 1.0}))


@pytest.mark.parametrize("name", ["name", "arrays"])
def test_settings_cannot_replace_the_problem_or_its_data(declare, name):
    declaration = declare()
    declaration["settings"] = declaration["settings"] | {name: "x"}
    with pytest.raises(ValueError, match=rf"`settings\.{name}` is no field of a problem, found 'x'"):
        validate(declaration)


def test_other_ways_to_the_weights_are_refused_where_they_have_no_place(declare):
    def line(method, rule=None, **options):
        declaration = declare(method) | {"learner": options}
        return declaration | ({} if rule is None else {"rule": rule})

    validate(line("pcgrad", gradients="two_pass", keep_weights=8))
    validate(line("sam_gs", gradients="stored", keep_weights=1))
    with pytest.raises(ValueError, match="`gradients` must be 'stored', not 'two_pass', with SAMGS"):
        validate(line("sam_gs", gradients="two_pass"))
    with pytest.raises(ValueError, match=r"`keep_weights` must be 1, not 8, .* as `joint` does here"):
        validate(line("pcgrad", {"name": "joint", "micro_batches": 2}, keep_weights=8))
    with pytest.raises(ValueError, match=r"`learner\.gradients` must be"):
        validate(line("pcgrad", gradients=3))
