"""Trainings side by side, each in a process of one thread."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any, TypeVar

from nasrec.config import SearchConfig
from nasrec.nn.inputs import Inputs

T = TypeVar("T")
Task = tuple[Callable[..., T], tuple[Any, ...]]
_ORPHAN_SECONDS = 0.3


def jobs_for(config: SearchConfig, inputs: Inputs) -> int:
    """How many trainings from scratch go side by side: one a thread, as memory allows.

    A training holds weights, the state of its optimiser and a copy of either for a while; all
    together take half of the memory at most. On a device other than the CPU there is one.
    """
    import torch

    if config.device != "cpu":
        return 1
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    tables = 4 * sum(inputs.vocabulary) * config.model.embedding_dim
    return max(1, min(torch.get_num_threads(), memory // 2 // max(1, 4 * tables)))


class Workers:
    """Processes that compute tasks side by side, started with the first ones and kept.

    Small networks gain little from a second thread and much from a second training beside them.
    A worker ends within a second of its parent, even of one that was killed, so that nobody goes
    on writing into a folder that a new process has taken over. A context manager: at its end, or
    at a task's error, all end.

    Args:
        jobs: how many; with one, tasks are computed here.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._pool: ProcessPoolExecutor | None = None

    def each(self, tasks: Sequence[Task[T]]) -> Iterator[tuple[int, T]]:
        """The number and the result of each task as it is ready. The first error ends all.

        Args:
            tasks: a function that a new process can import, and its arguments.
        """
        if self.jobs <= 1 or len(tasks) <= 1:
            with one_thread():
                for i, (function, arguments) in enumerate(tasks):
                    yield i, function(*arguments)
            return
        if self._pool is None:
            context = multiprocessing.get_context("spawn")  # torch's threads survive no fork
            given = (os.getpid(),)
            self._pool = ProcessPoolExecutor(self.jobs, context, initializer=_begin, initargs=given)
        futures: dict[Future[T], int] = {
            self._pool.submit(function, *arguments): i
            for i, (function, arguments) in enumerate(tasks)
        }
        for future in as_completed(futures):
            yield futures[future], future.result()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            processes = list((self._pool._processes or {}).values())
            self._pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()


def in_processes(tasks: Sequence[Task[T]], jobs: int) -> Iterator[tuple[int, T]]:
    """Tasks side by side by workers of their own; see `Workers.each`."""
    with Workers(jobs) as workers:
        yield from workers.each(tasks)


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch computes with one thread meanwhile, as in a worker."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _begin(parent: int) -> None:
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-c is for the parent, which ends all

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_ORPHAN_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
