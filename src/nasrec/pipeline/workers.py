"""Trainings side by side, each in a process of one thread."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
Task = tuple[Callable[..., T], tuple[Any, ...]]
_ORPHAN_SECONDS = 0.3


def in_processes(tasks: Sequence[Task[T]], jobs: int) -> Iterator[tuple[int, T]]:
    """Compute tasks side by side; gives the number and the result of each as it is ready.

    Small networks gain little from a second thread and much from a second training beside them.
    A worker ends within a second of its parent, even of one that was killed, so that nobody goes
    on writing into a folder that a new process has taken over. The first error ends all.

    Args:
        tasks: a function that a new process can import, and its arguments.
        jobs: how many at a time; with one they are computed here.
    """
    if jobs <= 1 or len(tasks) <= 1:
        with _one_thread():
            for i, (function, arguments) in enumerate(tasks):
                yield i, function(*arguments)
        return
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    pool = ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(os.getpid(),))
    try:
        futures: dict[Future[T], int] = {
            pool.submit(function, *arguments): i for i, (function, arguments) in enumerate(tasks)
        }
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()


@contextmanager
def _one_thread() -> Iterator[None]:
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

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_ORPHAN_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
