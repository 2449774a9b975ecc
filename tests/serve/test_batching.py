"""Requests share rounds, have their turns, and are given up where they must be."""

import asyncio

import pytest

from gluonnlp_snli_plugin.serve.batching import Batcher, Overloaded


class _Echo:
    """Answers each pair with itself, and remembers what it was given at once."""

    def __init__(self):
        self.rounds = []

    def __call__(self, pairs):
        self.rounds.append(list(pairs))
        if ("bad", "") in pairs:
            raise ValueError("bad")
        return list(map(_Answer, pairs))

    def explain(self, premise, hypothesis, label):
        return f"why {premise}"


class _Answer:
    def __init__(self, pair):
        self.pair, self.label = pair, "neutral"


def _run(work, max_waiting=1000):
    batcher = Batcher(_Echo, max_waiting)

    async def main():
        async with batcher.running():
            return await work(batcher)

    return asyncio.run(main()), batcher.predictor.rounds


def _pairs(name, many):
    return [(f"{name}{i}", "") for i in range(many)]


def test_answers_come_in_order_and_requests_share_rounds():
    async def work(batcher):
        return await asyncio.gather(*(batcher.answer(_pairs(name, many)) for name, many in (("a", 3), ("b", 70))))

    answers, rounds = _run(work)
    assert [[answer.pair for answer, _ in some] for some in answers] == [_pairs("a", 3), _pairs("b", 70)]
    assert len(rounds) <= 3 and ("a0", "") in rounds[0] and ("b0", "") in rounds[0]


def test_a_small_request_does_not_wait_for_the_whole_of_a_large_one():
    async def work(batcher):
        return await asyncio.gather(batcher.answer(_pairs("large", 300)), batcher.answer(_pairs("small", 1)))

    _, rounds = _run(work)
    assert ("small0", "") in rounds[0]


def test_explanations_come_one_a_round():
    async def work(batcher):
        return await asyncio.gather(batcher.answer(_pairs("a", 3), True), batcher.answer(_pairs("b", 5)))

    (explained, plain), rounds = _run(work)
    assert [why for _, why in explained] == ["why a0", "why a1", "why a2"] and plain[0][1] is None
    assert max(sum(pair[0][0] == "a" for pair in some) for some in rounds) <= 2


def test_a_full_queue_takes_no_more_and_an_empty_one_takes_anything():
    async def work(batcher):
        first = asyncio.ensure_future(batcher.answer(_pairs("a", 50)))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await batcher.answer(_pairs("b", 1))
        await first
        assert batcher.waiting == 0
        return await batcher.answer([])

    assert _run(work, max_waiting=10)[0] == []


def test_a_failure_is_that_of_its_round_alone():
    async def work(batcher):
        with pytest.raises(ValueError):
            await batcher.answer([("bad", "")])
        return await batcher.answer(_pairs("a", 1))

    assert _run(work)[0][0][0].pair == ("a0", "")


def test_a_request_that_is_given_up_is_not_computed():
    async def work(batcher):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(batcher.answer(_pairs("a", 5)), 0)
        return await batcher.answer(_pairs("b", 1))

    _, rounds = _run(work)
    assert rounds == [[("b0", "")]]
