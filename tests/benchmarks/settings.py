"""What the command line asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """How much is measured, and with whom."""

    tiny: bool = False
    """Everything once, on small slides: to see that it works."""
    rounds: int = 5
    latencies: tuple[float, ...] = (0.0, 20.0, 80.0)
    """Milliseconds."""
    ez_wsi: str | None = None
    """The Python that has ez-wsi-dicomweb."""
    orthanc_root: Path | None = None
    """The root folder of a system with another Orthanc than this one's."""

    def size(self, full: int, tiny: int) -> int:
        """A size, by whether all is tiny."""
        return tiny if self.tiny else full

    def few(self, milliseconds: float) -> int | None:
        """The most rounds of readers that wait for each reply before they ask on; None for all rounds."""
        return 2 if milliseconds else None
