"""Dynamic batching: one thread owns the model and computes the pairs of many clients together.

Requests that arrive while it computes are queued; the next round takes some pairs of each. So no request waits for a
batch to fill, and batches grow under load. MXNet is used from that thread alone; the rest runs in the event loop.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
from typing import TYPE_CHECKING, AsyncIterator, Callable, Deque, Iterator, List, Optional, Tuple

if TYPE_CHECKING:
    from ..evaluate.explanation import Explanation
    from ..evaluate.predictor import Prediction, Predictor

Pair = Tuple[str, str]
Answer = Tuple["Prediction", Optional["Explanation"]]

_PAIRS_OF_A_ROUND = 64
_PAIRS_IN_TURN = 16  # of one request, before it is the next one's turn
_COST_OF_EXPLANATION = 50  # in pairs that are only answered


class Overloaded(Exception):
    """The queue is full."""


class _Job:
    """A request."""

    def __init__(self, pairs: List[Pair], explains: bool) -> None:
        self.answers: List[Optional[Answer]] = [None] * len(pairs)
        self.future: asyncio.Future[List[Answer]] = asyncio.get_running_loop().create_future()
        self.cost = _COST_OF_EXPLANATION if explains else 1
        self.explains = explains
        self.missing = len(pairs)
        self.to_do: Deque[Tuple[int, Pair]] = collections.deque(enumerate(pairs))


class Batcher:
    """Answers pairs from many coroutines.

    Parameters
    ----------
    load : callable
        Returns a Predictor; called in the thread that will use it.
    max_waiting : int
        Pairs that may wait; an explanation counts as 50 of them. A request that finds an empty queue is always taken.

    Attributes
    ----------
    predictor : Predictor
    waiting : int
    """

    def __init__(self, load: Callable[[], "Predictor"], max_waiting: int) -> None:
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "model")
        self.predictor = self._thread.submit(load).result()
        self.waiting = 0
        self._max_waiting = max_waiting
        self._jobs: Deque[_Job] = collections.deque()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Compute while the context lasts."""
        self._arrival = asyncio.Event()
        rounds = asyncio.ensure_future(self._compute_rounds())
        try:
            yield
        finally:
            rounds.cancel()
            self._thread.shutdown()

    @property
    def is_full(self) -> bool:
        """Whether the queue takes no more pairs."""
        return self.waiting >= self._max_waiting

    @contextlib.contextmanager
    def place(self, cost: int = 1) -> Iterator[None]:
        """Stand in the queue while the context lasts; raises :class:`Overloaded` where it is full."""
        if self.waiting and self.waiting + cost > self._max_waiting:
            raise Overloaded
        self.waiting += cost
        try:
            yield
        finally:
            self.waiting -= cost

    async def answer(self, pairs: List[Pair], explains: bool = False) -> List[Answer]:
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

    async def _compute_rounds(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            tasks = self._next_round()
            if not tasks:
                self._arrival.clear()
                await self._arrival.wait()
                continue
            try:
                answers = await loop.run_in_executor(self._thread, self._compute, tasks)
            except Exception as error:  # the next round may succeed
                for job, *_ in tasks:
                    if not job.future.done():
                        job.future.set_exception(error)
                continue
            for (job, i, _), answer in zip(tasks, answers):
                job.answers[i] = answer
                job.missing -= 1
                if not job.missing and not job.future.done():
                    job.future.set_result([answer for answer in job.answers if answer])

    def _next_round(self) -> List[Tuple[_Job, int, Pair]]:
        """Some pairs of the requests in turn."""
        tasks: List[Tuple[_Job, int, Pair]] = []
        room = _PAIRS_OF_A_ROUND
        while self._jobs and room > 0:
            job = self._jobs.popleft()
            if job.future.done():  # it has timed out
                continue
            many = min(_PAIRS_IN_TURN, -(-room // job.cost), len(job.to_do))
            tasks += [(job, *job.to_do.popleft()) for _ in range(many)]
            room -= many * job.cost
            if job.to_do:
                self._jobs.append(job)
        return tasks

    def _compute(self, tasks: List[Tuple[_Job, int, Pair]]) -> List[Answer]:
        """Runs in the model's thread."""
        predictions = self.predictor([pair for *_, pair in tasks])
        return [
            (prediction, self.predictor.explain(*pair, prediction.label) if job.explains else None)
            for (job, _, pair), prediction in zip(tasks, predictions)
        ]
