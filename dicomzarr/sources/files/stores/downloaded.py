"""A file of a server that gives no ranges: all of it is fetched when the first of it is read."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dicomzarr.runtime.home_loop import home_loop
from dicomzarr.sources.files.stores.members import Unpacked

if TYPE_CHECKING:
    import mmap
    from collections.abc import Awaitable, Callable

    from dicomzarr.sources.files.stores.members import Spools
    from dicomzarr.sources.files.stores.port import StoredFile


@dataclass(frozen=True, slots=True)
class Downloaded(Unpacked):
    """A file that lies on the temporary disk while it is read; it is a `port.StoredFile`."""

    packed: StoredFile
    """As the server has it, of which no range can be read."""
    size: int
    """Bytes."""
    spools: Spools = field(compare=False)
    fetch: Callable[[], Awaitable[mmap.mmap]] = field(compare=False)
    """Fetches it; for the home loop."""

    @property
    def tag(self) -> str:
        """See `StoredFile.tag`."""
        return self.packed.tag

    def __getitem__(self, span: slice) -> bytes | memoryview:
        return memoryview(self.spools.of(self))[span]

    def inflate(self) -> mmap.mmap:
        """All of it, on the temporary disk.

        Raises:
            ChangedFileError: It is gone, or in another state.
            ServerError: It cannot be had.
            TemporaryFileError: There is no room.
        """

        async def fetched() -> mmap.mmap:
            return await self.fetch()

        return asyncio.run_coroutine_threadsafe(fetched(), home_loop()).result()
