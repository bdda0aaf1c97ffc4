"""What was found out about a server, in words for people. Pure (no I/O)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class Outcome(Enum):
    """How a check went."""

    WORKS = "works"
    NOTICE = "notice"
    """It works otherwise than others do, or not at all, and images can be read nevertheless."""
    FAILS = "fails"
    """Nothing can be read before it is mended."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check."""

    check: str
    """What was looked at."""
    outcome: Outcome
    found: str
    """What was found; it holds no UID of a study, no name and no secret."""
    consequence: str = ""
    """What dicomzarr does about it, or what the reader can do."""
    options: tuple[str, ...] = ()
    """Storage options that help, as ``max_connections=4``."""
    seconds: float | None = None
    """How long it took, where that matters."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was found out about a URL."""

    url: str
    """What was asked about, without secrets."""
    base: str | None
    """The base URL of its DICOMweb service; None where there is none."""
    findings: tuple[Finding, ...]
    readable: bool
    """Whether an image was read."""

    @property
    def works(self) -> bool:
        """Whether nothing stands in the way of reading images, as far as there are any."""
        return not any(finding.outcome is Outcome.FAILS for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """For programs: JSON's types only."""
        document = asdict(self)
        findings = [
            {**finding, "outcome": finding["outcome"].value, "options": list(finding["options"])}
            for finding in document["findings"]
        ]
        return {**document, "findings": findings, "works": self.works}

    def __str__(self) -> str:
        told = (f"{each.outcome.value:>6}  {each.check}: {each.found} {each.consequence}" for each in self.findings)
        return "\n".join([self.url, *map(str.rstrip, told)])
