"""An OME-Zarr written block by block, resumable at each, and read again at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from dicomzarr.errors import DicomZarrError, UsageError, VerificationError
from dicomzarr.faces.export.encoded import EncodedCopy
from dicomzarr.faces.export.failures import taken
from dicomzarr.faces.export.journal import Journal, journal_of
from dicomzarr.faces.export.pixels import PixelCopy
from dicomzarr.faces.export.work import FOR_SLICES, WORKERS, work_through
from dicomzarr.faces.export.zarr_target import ZarrTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dicomzarr.faces.export.blocks import Block
    from dicomzarr.faces.export.selection import Part
    from dicomzarr.faces.export.series import Source


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an export is."""

    phase: str
    """``copying`` or ``verifying``."""
    blocks: int
    """That are done."""
    all_blocks: int
    nbytes: int
    """Of pixels that are done."""
    all_nbytes: int
    resumed: int
    """Bytes of those that were done before this run."""


ProgressCallback: TypeAlias = "Callable[[Progress], object]"


class ZarrExport:
    """Writes a selection of a series as OME-Zarr.

    Args:
        source: What is exported.
        url: The root of the hierarchy.
        target_options: fsspec's.
        progress: Is told after each block.
    """

    def __init__(
        self, source: Source, url: str, target_options: Mapping[str, Any], progress: ProgressCallback | None = None
    ) -> None:
        self._source = source
        self.target = ZarrTarget(url, target_options)
        self._journal = Journal(journal_of(url), target_options, source.begun)
        self._progress = progress or (lambda _: None)
        self._store = source.store.for_one_reader()  # most of a series that is wanted at a time may come whole
        pixels = PixelCopy(self.target, source.options, self._store, source.level)
        encoded = EncodedCopy(self.target, source.options, self._store)
        self._copies = {part.path: encoded if part.path in source.kept else pixels for part in source.selection.parts}
        self._blocks = [block for part in source.selection.parts for block in self._copies[part.path].blocks(part)]
        self.blocks = len(self._blocks)
        self.nbytes = sum(block.nbytes for block in self._blocks)
        self.resumed = 0

    def run(self, *, overwrite: bool, settles: bool = True) -> None:
        """Write what is not written yet, and read all of it again.

        Args:
            overwrite: Whatever else is at the target goes.
            settles: It is what others keep, and is on the disk itself in the end.

        Raises:
            TargetExistsError: There is something at the target already.
            UsageError: It is the beginning of another export.
            DicomZarrError: A block could not be read; what is done stays so.
            TargetError: A block could not be written; as above.
            VerificationError: What is read again is something else; only this is written anew the next time.
        """
        for part in self._source.selection.parts:
            self._copies[part.path].examine(part)
        self._begin(overwrite=overwrite)
        try:
            arrays = {part.level: self._copies[part.path].prepare(part) for part in self._source.selection.parts}
            for halvings in sorted({block.part.halvings for block in self._blocks}):
                self._write(halvings)
            self._verify()
            for key, document in self._source.documents(arrays).items():  # one after the other: the root is the last
                self.target.put({key: document})
            if settles:
                self.target.settle()
        except UsageError:
            raise  # it does not go on
        except DicomZarrError as error:
            self.tell_state(error)
            raise
        finally:
            self._journal.close()

    @property
    def state(self) -> str:
        """How far it is, in words."""
        done = len(self._journal.digests)
        return f"{done} of {self.blocks} blocks are written; the same command goes on from there."

    def tell_state(self, error: DicomZarrError) -> None:
        """Let an error say how far it is."""
        message = str(error.args[0]) if error.args else ""
        error.args = (f"{message} {self.state}",)

    def _begin(self, *, overwrite: bool) -> None:
        there, begun = self.target.exists, self._journal.exists
        if there and not begun and not overwrite:
            raise taken()
        if there and begun and self._resumes(overwrite=overwrite):
            return
        if there:
            self._journal.begin(removes=True)  # first, so that what is half removed is no whole export
            self.target.remove()
        self._journal.begin()

    def _resumes(self, *, overwrite: bool) -> bool:
        """Whether what is there is the beginning of this export, and nothing else."""
        try:
            self._journal.resume()
        except UsageError:
            if overwrite:
                return False
            raise
        self.resumed = len(self._journal.digests)
        return not self._journal.removes

    def _write(self, halvings: int) -> None:
        done = self._journal.digests
        left = [block for block in self._blocks if block.part.halvings == halvings and block.name not in done]
        written = sum(block.nbytes for block in self._blocks if block.name in done)
        before = sum(block.nbytes for block in self._blocks if block.name in done) if halvings == 0 else 0

        def note(block: Block, digest: str) -> None:
            nonlocal written
            self._journal.note(block.name, digest)
            written += block.nbytes
            self._progress(Progress("copying", len(done), self.blocks, written, self.nbytes, before))

        workers = FOR_SLICES if any(self._is_slices(block.part) for block in left) else WORKERS
        work_through(left, lambda block, gate: self._copies[block.part.path].copy(block, gate), note, workers)

    def _is_slices(self, part: Part) -> bool:
        """Whether its frames are instances of their own, of which a server may give all in one reply."""
        return bool(self._store.source_of(part.whole).series.slices)

    def _verify(self) -> None:
        wrong: list[str] = []
        counted = nbytes = 0

        def compare(block: Block, digest: str) -> None:
            nonlocal counted, nbytes
            if self._journal.digests[block.name] != digest:
                wrong.append(block.name)
            counted, nbytes = counted + 1, nbytes + block.nbytes
            self._progress(Progress("verifying", counted, self.blocks, nbytes, self.nbytes, 0))

        work_through(self._blocks, lambda block, gate: self._copies[block.part.path].check(block, gate), compare)
        if wrong:
            self._journal.forget(wrong)
            raise VerificationError(
                f"{len(wrong)} of {self.blocks} blocks are not what was written when they are read again.",
                remedy="Look after the disk or store of the target; the next run writes only these anew.",
            )
