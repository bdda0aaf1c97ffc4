"""Patches as data sets of PyTorch. PyTorch is imported here, and nowhere else."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from dicomzarr.errors import UsageError
from dicomzarr.faces.patches.order import Share, batches, checked_count, checked_node, chosen, epoch_order
from dicomzarr.faces.patches.reading import PatchReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from dicomzarr.faces.patches.positions import Patches

    Pixels = npt.NDArray[np.generic]


class _Samples:
    """What becomes of the pixels of a patch.

    Args:
        transform: Called with a tensor of shape (samples, height, width); what it gives is handed out.
        targets: What goes with each patch, as its label or position; None for pixels alone.
        count: How many patches there are.
    """

    def __init__(self, transform: Callable[[Any], Any] | None, targets: Sequence[Any] | None, count: int) -> None:
        self._transform = transform
        self._targets = targets
        if targets is not None and (given := _length(targets)) != count:
            raise UsageError(f"{given} targets were given for {count} patches.", remedy="Give one for each patch.")

    def of(self, number: int, pixels: Pixels) -> Any:
        found: Any = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        if self._transform is not None:
            found = self._transform(found)
        return found if self._targets is None else (found, self._targets[number])


def _length(targets: Any) -> int | str:
    """How many there are, or what was given in the place of a sequence."""
    try:
        return len(targets)
    except TypeError:
        return f"{targets!r:.40} as"


class PatchDataset(Dataset[Any]):
    """Patches by number, which a `torch.utils.data.DataLoader` reads batch by batch, each in one plan.

    A sample is a tensor of the level's type, of shape (samples, height, width), with R, G, B for colour; with
    ``targets`` a pair of that and its target. It travels to workers by URL, forked or spawned.

    Args:
        patches: Those of one slide, or a list of those of several, which follow each other.
        icc: ``"srgb"`` for colours of sRGB, by each slide's ICC profile; None for those stored.
        transform: Called with each tensor; what it gives is the sample.
        targets: What goes with each patch: a sequence, as of labels or of ``patches.positions``.

    Raises:
        UsageError: There are no patches of one size, or not as many targets as patches.
    """

    def __init__(
        self,
        patches: Patches | Sequence[Patches],
        *,
        icc: str | None = None,
        transform: Callable[[Any], Any] | None = None,
        targets: Sequence[Any] | None = None,
    ) -> None:
        self._reader = PatchReader(patches, icc)
        self._samples = _Samples(transform, targets, len(self))

    def __len__(self) -> int:
        return len(self._reader)

    def __getitem__(self, number: int) -> Any:
        return self.__getitems__([operator.index(number)])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[Any]:
        """The samples of a batch, read in one plan: what the DataLoader asks for, where a data set has it."""
        wanted = chosen(numbers, len(self))
        return [
            self._samples.of(int(number), pixels)
            for number, pixels in zip(wanted, self._reader.read(wanted), strict=True)
        ]


class PatchStream(IterableDataset[Any]):
    """Patches in random order, shared out among workers and nodes: each patch once an epoch, whoever reads it.

    Give the DataLoader the same ``batch_size``: then a batch is one plan, and batches are the same whatever the number
    of workers. Samples are those of `PatchDataset`. Before each epoch call `set_epoch`, or all have one order.

    Args:
        patches: Those of one slide, or a list of those of several, which are mixed.
        batch_size: Patches that are read together.
        shuffle: False to read patches as they come.
        seed: Where randomness begins; the same on all nodes.
        prefetch: Batches that are read ahead.
        node: (number from 0, how many) of this process among those that train together; None for what
            `torch.distributed` says.
        icc: As for `PatchDataset`.
        transform: As for `PatchDataset`.
        targets: As for `PatchDataset`.

    Raises:
        UsageError: As for `PatchDataset`; or a number cannot be meant.
    """

    def __init__(  # noqa: PLR0913  # as many as there are choices
        self,
        patches: Patches | Sequence[Patches],
        *,
        batch_size: int = 64,
        shuffle: bool = True,
        seed: int = 0,
        prefetch: int = 2,
        node: tuple[int, int] | None = None,
        icc: str | None = None,
        transform: Callable[[Any], Any] | None = None,
        targets: Sequence[Any] | None = None,
    ) -> None:
        self._reader = PatchReader(patches, icc)
        self._samples = _Samples(transform, targets, len(self._reader))
        self._batch_size = checked_count(batch_size, "batch_size, the patches of a batch", 1)
        self._shuffle, self._seed = shuffle, checked_count(seed, "seed, where randomness begins")
        self._prefetch = checked_count(prefetch, "prefetch, the batches that are read ahead")
        self._given = None if node is None else checked_node(node)
        self._sent: Share | None = None
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()  # seen by workers that outlast an epoch

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes, from 0: each has an order of its own. Call it on all nodes.

        Raises:
            UsageError: It is no whole number, or below 0.
        """
        self._epoch[0] = checked_count(epoch, "epoch, counted from 0")

    def __len__(self) -> int:
        """Patches that this node reads in an epoch."""
        return sum(map(len, batches(np.arange(len(self._reader)), self._batch_size, self._node())))

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        share = self._node() if worker is None else Share(worker.id, worker.num_workers).within(self._node())
        order = epoch_order(len(self._reader), int(self._epoch[0]), self._seed, shuffle=self._shuffle)
        own = batches(order, self._batch_size, share)
        for numbers, read in zip(own, self._reader.read_ahead(own, self._prefetch), strict=True):
            for number, pixels in zip(numbers, read, strict=True):
                yield self._samples.of(int(number), pixels)

    def _node(self) -> Share:
        """This node among those that train together; a spawned worker belongs to that which sent it."""
        if self._given is not None:
            return self._given
        group = torch.distributed
        if group.is_available() and group.is_initialized():
            return Share(group.get_rank(), group.get_world_size())
        return self._sent or Share()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_sent": self._node()}
