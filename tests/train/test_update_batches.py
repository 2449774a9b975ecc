"""The batches of a run in groups, from any place on."""

import itertools

from gluonnlp_snli_plugin.train.update_batches import Group, UpdateBatches


class Batches:
    """Epoch `e` has ``3 + e`` batches, the numbers (e, 0), (e, 1), ..."""

    def num_batches(self, epoch):
        return 3 + epoch

    def epoch(self, epoch, start):
        return ((epoch, number) for number in range(start, 3 + epoch))


def _first(stream, n):
    return list(itertools.islice(stream, n))


def test_groups_end_with_their_epoch():
    assert _first(UpdateBatches(Batches(), 2), 4) == [
        Group([(0, 0), (0, 1)], 1, False),
        Group([(0, 2)], 1, True),
        Group([(1, 0), (1, 1)], 2, False),
        Group([(1, 2), (1, 3)], 2, True),
    ]


def test_it_goes_on_from_behind_any_group():
    for size in (1, 2, 5):
        expected = _first(UpdateBatches(Batches(), size), 20)
        for n in range(20):
            begun = UpdateBatches(Batches(), size)
            assert _first(begun, n) == expected[:n]
            resumed = UpdateBatches(Batches(), size)
            resumed.load_state_dict(begun.state_dict())
            assert _first(resumed, 20 - n) == expected[n:]
