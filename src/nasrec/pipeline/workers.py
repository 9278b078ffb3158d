"""Trainings side by side, each in a process of one thread."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import Any, TypeVar

from nasrec.config import SearchConfig
from nasrec.nn import BASELINES, Inputs
from nasrec.nn.operators import OPERATORS
from nasrec.search import METHODS

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
    tables = 4 * sum(inputs.vocabulary) * config.model.embedding_dim * config.model.members
    return max(1, min(torch.get_num_threads(), memory // 2 // max(1, 4 * tables)))


class _Process(SpawnProcess):
    """Does not run the script again that started it: that may call us without asking whether it is
    the main program, as multiprocessing wants it."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802  the name is multiprocessing's
        script, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
        try:
            return SpawnProcess._Popen(process_obj)
        finally:
            sys.modules["__main__"] = script


class _Context(SpawnContext):
    """New processes, not copies: torch's threads survive no fork."""

    Process = _Process


class Workers:
    """Processes that compute tasks side by side, started with the first ones and kept.

    Small networks gain little from a second thread and much from a second training beside them.
    A worker ends within a second of its parent, even of one that was killed, so that nobody goes
    on writing into a folder that a new process has taken over. A context manager: at its end, or
    at a task's error, all end.

    Args:
        jobs: how many; with one, tasks are computed here, and so they are where the running script
            has registered classes of its own, which another process would lack.
    """

    def __init__(self, jobs: int) -> None:
        registered = (*OPERATORS.values(), *BASELINES.values(), *METHODS.values())
        self.modules = sorted({known.__module__ for known in registered})
        self.jobs = 1 if "__main__" in self.modules else jobs
        self._pool: ProcessPoolExecutor | None = None

    def each(self, tasks: Sequence[Task[T]]) -> Iterator[tuple[int, T]]:
        """The number and the result of each task as it is ready. The first error ends all.

        Args:
            tasks: a function that a new process can import, and its arguments.
        """
        if self.jobs <= 1 or len(tasks) <= 1:
            with threads(1):
                for i, (function, arguments) in enumerate(tasks):
                    yield i, function(*arguments)
            return
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.jobs, _Context(), initializer=_begin, initargs=(os.getpid(), self.modules)
            )
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
def threads(count: int) -> Iterator[None]:
    """Torch computes with so many threads meanwhile; a worker has one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _begin(parent: int, modules: Sequence[str]) -> None:
    import torch

    for module in modules:
        importlib.import_module(module)  # registers what it has
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-c is for the parent, which ends all

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_ORPHAN_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
