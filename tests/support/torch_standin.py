"""What of PyTorch the data sets of patches use, without PyTorch: the classes, and how its DataLoader asks.

Importing this module puts it in the place of the package, unless that is there. `loaded` asks as the DataLoader does:
its fetchers, its workers one after another, batches by turns. The same tests run against PyTorch itself by
``python tests/adapters/run.py torch``.
"""

from __future__ import annotations

import pickle
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Tensor(np.ndarray):  # type: ignore[type-arg]
    """An array that can be asked to be shared."""

    def share_memory_(self) -> Tensor:
        return self


@dataclass
class WorkerInfo:
    """Of the worker that runs: what `torch.utils.data.get_worker_info` gives."""

    id: int
    num_workers: int


class _Generic:
    def __class_getitem__(cls, _: object) -> type:
        return cls


class Dataset(_Generic):
    """The base of data sets that are read by number."""


class IterableDataset(Dataset):
    """The base of data sets that are read in order."""


class Group:
    """The processes that train together, as `torch.distributed` tells of them."""

    rank: int | None = None
    size = 1

    @classmethod
    def is_available(cls) -> bool:
        return True

    @classmethod
    def is_initialized(cls) -> bool:
        return cls.rank is not None

    @classmethod
    def get_rank(cls) -> int:
        assert cls.rank is not None
        return cls.rank

    @classmethod
    def get_world_size(cls) -> int:
        return cls.size


class _Alone:
    """No group of processes."""

    @staticmethod
    def is_available() -> bool:
        return False


_worker: list[WorkerInfo | None] = [None]


def _zeros(length: int, dtype: Any) -> Tensor:
    return np.zeros(length, dtype).view(Tensor)


def _from_numpy(array: Any) -> Tensor:
    assert array.flags.c_contiguous
    assert array.flags.writeable
    found: Tensor = array.view(Tensor)
    return found


def install() -> None:
    """Put it in the place of the package."""
    torch, utils, data = ModuleType("torch"), ModuleType("torch.utils"), ModuleType("torch.utils.data")
    vars(torch).update(zeros=_zeros, int64=np.int64, from_numpy=_from_numpy, distributed=_Alone, utils=utils)
    vars(utils).update(data=data)
    vars(data).update(
        Dataset=Dataset, IterableDataset=IterableDataset, DataLoader=DataLoader, get_worker_info=lambda: _worker[0]
    )
    sys.modules.update({"torch": torch, "torch.utils": utils, "torch.utils.data": data})


@contextmanager
def trained_by(rank: int, size: int) -> Iterator[None]:
    """As a node of several that train together."""
    import torch  # noqa: PLC0415  # the one that is in its place

    Group.rank, Group.size = rank, size
    with mock.patch.object(torch, "distributed", Group):
        yield


class DataLoader:
    """Makes batches as PyTorch's does, one worker after another, each with a copy of the data set sent to it.

    Args:
        dataset: The data set.
        batch_size: Samples of a batch.
        num_workers: How many; 0 for none.
        multiprocessing_context: Ignored.
        collate_fn: Makes a batch of samples; None to stack them.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        *,
        num_workers: int = 0,
        multiprocessing_context: str | None = None,  # noqa: ARG002  # there are no processes
        collate_fn: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        self._dataset = dataset
        self._size = batch_size
        self._workers = num_workers
        self._collate = collate_fn or np.stack

    def __iter__(self) -> Iterator[Any]:
        if self._workers == 0:
            yield from map(self._collate, self._batches(self._dataset, 0, 1))
            return
        sent = pickle.dumps(self._dataset)
        parts = []
        for number in range(self._workers):
            _worker[0] = WorkerInfo(number, self._workers)
            try:
                parts.append(list(self._batches(pickle.loads(sent), number, self._workers)))  # noqa: S301  # our own
            finally:
                _worker[0] = None
        for turn in range(max(map(len, parts))):
            yield from (self._collate(part[turn]) for part in parts if turn < len(part))

    def _batches(self, dataset: Any, number: int, count: int) -> Iterator[list[Any]]:
        if isinstance(dataset, IterableDataset):
            samples = iter(dataset)  # type: ignore[call-overload]
            while batch := list(islice(samples, self._size)):
                yield batch
            return
        for lot in list(batched_numbers(len(dataset), self._size))[number::count]:
            yield dataset.__getitems__(lot)


def batched_numbers(count: int, size: int) -> Iterator[list[int]]:
    """0 to ``count``, in lots."""
    return (list(range(start, min(start + size, count))) for start in range(0, count, size))


def loaded(dataset: Any, batch_size: int, workers: int = 0, context: str | None = None) -> list[list[Any]]:
    """The batches of an epoch: of PyTorch's own DataLoader where that is installed.

    Args:
        dataset: The data set.
        batch_size: Samples of a batch.
        workers: How many processes; 0 for none.
        context: ``fork`` or ``spawn``.
    """
    from torch.utils.data import DataLoader as Loader  # noqa: PLC0415  # the one that is in its place

    return list(
        Loader(
            dataset,
            batch_size,
            num_workers=workers,
            multiprocessing_context=context if workers else None,
            collate_fn=list,
        )
    )


IS_STANDIN = find_spec("torch") is None
if IS_STANDIN:
    install()
