"""Answers many clients at once: one thread owns the model, and computes together what has come in meanwhile.

While it computes, requests gather; the next round takes some pairs of each. So nobody waits for a batch to fill, and
batches grow by themselves under load. MXNet is used from that thread alone; all else here runs in the event loop's.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
from typing import Deque, List, Optional

_PAIRS_OF_A_ROUND = 64
_PAIRS_IN_TURN = 16  # of one request, before others have their turn
_COST_OF_EXPLANATION = 50  # in pairs that are only answered


class Overloaded(Exception):
    """As many pairs wait as may."""


class _Job:
    """A request."""

    def __init__(self, pairs, explains):
        self.answers: List[Optional[tuple]] = [None] * len(pairs)
        self.future = asyncio.get_running_loop().create_future()
        self.cost = _COST_OF_EXPLANATION if explains else 1
        self.explains = explains
        self.missing = len(pairs)
        self.to_do = collections.deque(enumerate(pairs))


class Batcher:
    """Answers pairs from many coroutines.

    Parameters
    ----------
    load : callable
        Returns a Predictor; called in the thread that will use it.
    max_waiting : int
        Pairs that may wait; an explanation counts as 50 of them. What comes when there are none is always taken.

    Attributes
    ----------
    predictor : Predictor
    waiting : int
    """

    def __init__(self, load, max_waiting):
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "model")
        self.predictor = self._thread.submit(load).result()
        self.waiting = 0
        self._max_waiting = max_waiting
        self._jobs: Deque[_Job] = collections.deque()

    @contextlib.asynccontextmanager
    async def running(self):
        """Computes while the context lasts."""
        self._arrival = asyncio.Event()
        rounds = asyncio.ensure_future(self._compute_rounds())
        try:
            yield
        finally:
            rounds.cancel()
            self._thread.shutdown()

    @property
    def is_full(self):
        """Whether not one pair more may wait."""
        return self.waiting >= self._max_waiting

    @contextlib.contextmanager
    def place(self, cost=1):
        """Stand in the queue while the context lasts; raises :class:`Overloaded` where it is full."""
        if self.waiting and self.waiting + cost > self._max_waiting:
            raise Overloaded
        self.waiting += cost
        try:
            yield
        finally:
            self.waiting -= cost

    async def answer(self, pairs, explains=False):
        """Answer some pairs.

        Parameters
        ----------
        pairs : list of (str, str)
        explains : bool, default False

        Returns
        -------
        list of (Prediction, Explanation or None)

        Raises
        ------
        Overloaded
        """
        job = _Job(pairs, explains)
        if not pairs:
            return []
        with self.place(job.cost * len(pairs)):
            self._jobs.append(job)
            self._arrival.set()
            return await job.future

    async def _compute_rounds(self):
        loop = asyncio.get_running_loop()
        while True:
            tasks = self._next_round()
            if not tasks:
                self._arrival.clear()
                await self._arrival.wait()
                continue
            try:
                answers = await loop.run_in_executor(self._thread, self._compute, tasks)
            except Exception as error:  # whatever it is, the next round may go well
                for job, *_ in tasks:
                    if not job.future.done():
                        job.future.set_exception(error)
                continue
            for (job, i, _), answer in zip(tasks, answers):
                job.answers[i] = answer
                job.missing -= 1
                if not job.missing and not job.future.done():
                    job.future.set_result(job.answers)

    def _next_round(self):
        """Some pairs, those of the requests in turn: a list of (job, number, pair)."""
        tasks: List[tuple] = []
        room = _PAIRS_OF_A_ROUND
        while self._jobs and room > 0:
            job = self._jobs.popleft()
            if job.future.done():  # its time was over
                continue
            many = min(_PAIRS_IN_TURN, -(-room // job.cost), len(job.to_do))
            tasks += [(job, *job.to_do.popleft()) for _ in range(many)]
            room -= many * job.cost
            if job.to_do:
                self._jobs.append(job)
        return tasks

    def _compute(self, tasks):
        """Runs in the model's thread."""
        predictions = self.predictor([pair for *_, pair in tasks])
        return [
            (prediction, self.predictor.explain(*pair, prediction.label) if job.explains else None)
            for (job, _, pair), prediction in zip(tasks, predictions)
        ]
