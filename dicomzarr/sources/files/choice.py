"""Which series of a folder is meant by somebody who names none."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from dicomzarr.dicom.model.plain_json import first_text
from dicomzarr.errors import MissingFileError, SeveralSeriesError
from dicomzarr.sources.files.instance import is_directory
from dicomzarr.sources.files.urls import place_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dicomzarr.engine.ports import SeriesRef
    from dicomzarr.sources.files.instance import FileInstance
    from dicomzarr.sources.files.urls import FolderURL

_MODALITY: Final = "00080060"


class Place(Protocol):
    """A place of files."""

    @property
    def notices(self) -> Sequence[str]:
        """What was left out when somebody looked last, and why."""

    async def instances(self) -> Mapping[SeriesRef, Mapping[str, FileInstance]]:
        """All instances of each series, as they are now."""

    def opens_next(self) -> None:
        """Who has just looked opens a series now."""


async def chosen_series(folder: FolderURL, place: Place) -> FolderURL:
    """The one series that holds images; of series without images the one that there is.

    Args:
        folder: The folder, or one study in it.
        place: Where it is.

    Raises:
        MissingFileError: There is none.
        SeveralSeriesError: There are several.
    """
    found: Counter[tuple[SeriesRef, str]] = Counter()
    pictures: Counter[tuple[SeriesRef, str]] = Counter()
    for ref, instances in (await place.instances()).items():
        if folder.study in {None, ref.study}:
            series = ref, first_text(next(iter(instances.values())).shown, _MODALITY)
            found[series] = len(instances)
            pictures[series] = sum(each.has_pixels for each in instances.values())
    candidates = +pictures or found
    if not candidates:
        raise MissingFileError(
            " ".join([f"There are no DICOM images in {place_of(folder.base)}.", *place.notices]),
            remedy="A DICOMDIR lists the files of the folder that it is in: name that folder."
            if is_directory(str(folder.base))
            else "Name a folder of Part-10 files, or one of them.",
        )
    refs = {ref for ref, _ in candidates}
    if len(refs) > 1:
        raise _several(folder, candidates)
    (ref,) = refs
    place.opens_next()
    return replace(folder, study=ref.study, series=ref.series)


def _several(folder: FolderURL, candidates: Mapping[tuple[SeriesRef, str], int]) -> SeveralSeriesError:
    found = sorted(candidates.items())
    urls = [str(replace(folder, study=ref.study, series=ref.series)) for (ref, _), _ in found]
    told = [f"{modality or 'unknown modality'}, {_count(number)}" for (_, modality), number in found]
    lines = [f"{url} ({facts})" for url, facts in zip(urls, told, strict=True)]
    return SeveralSeriesError(f"There are {len(lines)} series in {place_of(folder.base)}; name one of:", lines)


def _count(number: int) -> str:
    return "1 instance" if number == 1 else f"{number} instances"
