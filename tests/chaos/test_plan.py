"""What a seed decides."""

from tests.chaos.plan import plan

FAULTS = ["a", "b", "c"]


def test_a_round_is_the_same_whenever_it_is_repeated():
    assert plan(7, 4, FAULTS) == plan(7, 4, FAULTS)
    assert plan(7, 4, FAULTS) != plan(8, 4, FAULTS)


def test_as_many_rounds_as_there_are_faults_have_each_of_them():
    for first in (0, 3, 6):
        assert {plan(7, number, FAULTS).fault for number in range(first, first + 3)} == set(FAULTS)
