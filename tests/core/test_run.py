"""A learner is a run as its rule sees it; a rule by default takes any network and any number of tasks."""

import pytest

from gradsurgery.core.run import Run, TrainingRule
from tests.core.rows import Heads, learner


class Twice(TrainingRule):
    """Every batch twice."""

    def epoch(self, run, batches):
        for batch in batches:
            yield run.step(batch)
            yield run.step(batch)


def test_a_learner_is_a_run_and_its_problem_is_none():
    run = learner()
    assert isinstance(run, Run)
    assert not isinstance(run.problem, Run)


def test_a_rule_needs_nothing_but_its_epoch():
    rule, network = Twice(), Heads()
    rule.check(1)
    assert rule.attach(network) is network
    assert (rule.needs_every_task, rule.cpu_only) == (False, False)
    run = learner(rule=rule)
    run.epoch()
    assert run.step_count == 8  # of four batches


def test_a_rule_without_an_epoch_cannot_be_made():
    class Empty(TrainingRule):
        pass

    with pytest.raises(TypeError, match=r"abstract method '?epoch'?"):
        Empty()
