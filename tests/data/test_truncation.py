"""Which tokens of a pair that is too long stay."""

import mxnet as mx
import numpy as np
import pytest
from gluonnlp.data.bert.glue import truncate_seqs_equal
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.data import truncation
from gluonnlp_snli_plugin.data.truncation import Truncation
from gluonnlp_snli_plugin.errors import UsageError

NAMES = ["equal", "longest_first", "only_first", "only_second", "ratio"]

lengths = st.integers(0, 60)
budgets = st.integers(2, 90)
every_strategy = pytest.mark.parametrize("name", NAMES)
law = settings(max_examples=100)


def keep(name, len_a, len_b, budget):
    return tuple(int(length) for length in truncation.create(name)(len_a, len_b, budget))


# Laws of every strategy ---------------------------------------------------------------------------------------------


@every_strategy
@given(lengths, lengths, budgets)
@law
def test_neither_sentence_grows_and_no_token_of_the_budget_is_wasted(name, len_a, len_b, budget):
    keep_a, keep_b = keep(name, len_a, len_b, budget)
    assert 0 <= keep_a <= len_a and 0 <= keep_b <= len_b
    assert keep_a + keep_b == min(budget, len_a + len_b)


@every_strategy
@given(lengths, lengths, st.integers(0, 30))
@law
def test_a_pair_that_fits_is_kept_whole(name, len_a, len_b, spare):
    assert keep(name, len_a, len_b, max(2, len_a + len_b + spare)) == (len_a, len_b)


@every_strategy
@given(st.lists(st.tuples(lengths, lengths), max_size=20), budgets)
@law
def test_arrays_give_what_one_pair_gives(name, pairs, budget):
    len_a, len_b = np.array(pairs, np.int32).reshape(-1, 2).T
    keep_a, keep_b = truncation.create(name)(len_a, len_b, budget)
    assert keep_a.shape == keep_b.shape == (len(pairs),)
    assert keep_a.dtype == keep_b.dtype == np.int64
    assert list(zip(keep_a, keep_b)) == [keep(name, a, b, budget) for a, b in pairs]


@every_strategy
def test_the_lengths_given_stay_as_they_are(name):
    len_a, len_b = np.array([50, 1]), np.array([50, 1])
    keep_a, _ = truncation.create(name)(len_a, len_b, 10)
    keep_a += 1
    assert len_a.tolist() == len_b.tolist() == [50, 1]


@every_strategy
@pytest.mark.parametrize("budget", [1, 0, -3])
def test_a_budget_without_room_for_a_pair_is_an_error(name, budget):
    with pytest.raises(UsageError, match=f"the budget is {budget}: raise max_len"):
        truncation.create(name)(3, 3, budget)


# Each strategy ------------------------------------------------------------------------------------------------------


def drop_from_the_longer(len_a, len_b, budget):
    """The definition of longest_first."""
    while len_a + len_b > budget:
        if len_a > len_b:
            len_a -= 1
        else:
            len_b -= 1
    return len_a, len_b


@given(lengths, lengths, budgets)
@law
def test_longest_first_is_the_loop_that_drops_from_the_longer(len_a, len_b, budget):
    assert keep("longest_first", len_a, len_b, budget) == drop_from_the_longer(len_a, len_b, budget)


def test_longest_first_drops_from_the_second_on_a_tie():
    assert keep("longest_first", 5, 5, 9) == (5, 4)
    assert keep("longest_first", 5, 5, 7) == (4, 3)


def test_longest_first_leaves_a_short_sentence_whole():
    assert keep("longest_first", 40, 3, 10) == (7, 3)
    assert keep("longest_first", 3, 40, 10) == (3, 7)


@given(lengths, lengths, budgets)
@law
def test_equal_keeps_what_gluonnlps_function_keeps(len_a, len_b, budget):
    kept = truncate_seqs_equal([list(range(len_a)), list(range(len_b))], budget)
    assert keep("equal", len_a, len_b, budget) == tuple(map(len, kept))


@given(lengths, lengths, budgets)
@law
def test_ratio_keeps_the_proportion_to_within_a_token(len_a, len_b, budget):
    keep_a, keep_b = keep("ratio", len_a, len_b, budget)
    total = len_a + len_b
    share = min(1, budget / max(total, 1))
    assert abs(keep_a - share * len_a) < 1
    assert abs(keep_b - share * len_b) < 1


@given(st.integers(1, 1000), st.integers(1, 1000), budgets)
@law
def test_ratio_leaves_a_token_of_each_sentence(len_a, len_b, budget):
    assert min(keep("ratio", len_a, len_b, budget)) >= 1


def test_ratio_halves_both_sentences_of_a_pair_that_is_twice_too_long():
    assert keep("ratio", 30, 10, 20) == (15, 5)
    assert keep("ratio", 10, 30, 20) == (5, 15)


def test_ratio_leaves_a_token_of_a_sentence_that_would_vanish():
    assert keep("ratio", 1000, 1, 5) == (4, 1)
    assert keep("ratio", 1, 1000, 5) == (1, 4)


@pytest.mark.parametrize("name, cut, whole", [("only_first", 0, 1), ("only_second", 1, 0)])
@given(pair=st.tuples(lengths, lengths), budget=budgets)
@law
def test_only_one_cuts_the_other_only_where_it_is_longer_than_the_budget(name, cut, whole, pair, budget):
    kept = keep(name, *pair, budget)
    assert kept[whole] == min(pair[whole], budget)
    assert kept[cut] == min(pair[cut], budget - kept[whole])


def test_only_first_drops_from_the_premise():
    assert keep("only_first", 20, 8, 15) == (7, 8)
    assert keep("only_first", 20, 30, 15) == (0, 15)


def test_only_second_drops_from_the_hypothesis():
    assert keep("only_second", 8, 20, 15) == (8, 7)
    assert keep("only_second", 30, 20, 15) == (15, 0)


# Names --------------------------------------------------------------------------------------------------------------


def test_the_names_are_listed_in_order():
    assert truncation.list_truncations() == NAMES


@every_strategy
def test_mxnets_registry_creates_a_strategy_by_name(name):
    strategy = mx.registry.get_create_func(Truncation, "truncation")(name)
    assert type(strategy) is type(truncation.create(name)) is mx.registry.get_registry(Truncation)[name]


def test_a_name_is_found_in_capitals():
    assert type(truncation.create("Longest_First")) is type(truncation.create("longest_first"))


def test_a_strategy_stands_for_itself():
    strategy = truncation.create("ratio")
    assert truncation.create(strategy) is strategy


@pytest.mark.parametrize("name", ["longest", "", None, 3, "[ratio]"])
def test_an_unknown_name_is_an_error_that_lists_the_strategies(name):
    with pytest.raises(UsageError) as info:
        truncation.create(name)
    assert repr(name) in str(info.value)
    assert ", ".join(NAMES) in str(info.value)


@pytest.fixture
def first_words():
    """A strategy of the user's own, registered as MXNet registers things."""

    class FirstWords(Truncation):
        def _keep(self, len_a, len_b, budget):
            return np.minimum(len_a, 1), np.minimum(len_b, 1)

    mx.registry.get_register_func(Truncation, "truncation")(FirstWords, "first_words")
    yield FirstWords
    del mx.registry._REGISTRY[Truncation]["first_words"]


def test_a_strategy_of_ones_own_is_found_by_name(first_words):
    assert type(truncation.create("first_words")) is first_words
    assert keep("first_words", 9, 9, 10) == (1, 1)
    assert keep("first_words", 4, 4, 10) == (4, 4)
