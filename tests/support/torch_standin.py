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
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    vars(data).update(Dataset=Dataset, IterableDataset=IterableDataset, get_worker_info=lambda: _worker[0])
    sys.modules.update({"torch": torch, "torch.utils": utils, "torch.utils.data": data})


@contextmanager
def trained_by(rank: int, size: int) -> Iterator[None]:
    """As a node of several that train together."""
    import torch  # noqa: PLC0415  # the one that is in its place

    Group.rank, Group.size = rank, size
    with mock.patch.object(torch, "distributed", Group):
        yield


def _loaded(dataset: Any, batch_size: int, workers: int = 0) -> list[list[Any]]:
    """The batches of an epoch as PyTorch's DataLoader makes them, one worker after another."""
    if workers == 0:
        return _batches(dataset, batch_size, 0, 1)
    sent = pickle.dumps(dataset)
    parts = []
    for number in range(workers):
        _worker[0] = WorkerInfo(number, workers)
        try:
            parts.append(_batches(pickle.loads(sent), batch_size, number, workers))  # noqa: S301  # our own
        finally:
            _worker[0] = None
    longest = max(map(len, parts))
    return [part[turn] for turn in range(longest) for part in parts if turn < len(part)]


def _batches(dataset: Any, size: int, number: int, count: int) -> list[list[Any]]:
    if isinstance(dataset, IterableDataset):
        samples = list(dataset)  # type: ignore[call-overload]
        return [samples[start : start + size] for start in range(0, len(samples), size)]
    numbers = list(range(len(dataset)))
    lots = [numbers[start : start + size] for start in range(0, len(numbers), size)]
    return [dataset.__getitems__(lot) for lot in lots[number::count]]


def loaded(dataset: Any, batch_size: int, workers: int = 0, context: str | None = None) -> list[list[Any]]:
    """The batches of an epoch: of PyTorch's own DataLoader where that is installed, else as it makes them.

    Args:
        dataset: The data set.
        batch_size: Samples of a batch.
        workers: How many processes; 0 for none.
        context: ``fork`` or ``spawn``.
    """
    if IS_STANDIN:
        return _loaded(dataset, batch_size, workers)
    from torch.utils.data import DataLoader  # noqa: PLC0415  # only where it is

    return list(
        DataLoader(
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
