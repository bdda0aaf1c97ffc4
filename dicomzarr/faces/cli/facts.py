"""What a series is, as plain values: the JSON of ``dicomzarr info``, and what its tables show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dicomzarr.arrays.describing import values_words
from dicomzarr.plan.orientation import orientation_letters, orientation_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.arrays.image import Image
    from dicomzarr.arrays.level import Level
    from dicomzarr.faces.cli.connection import Target
    from dicomzarr.plan import Affine, Axis, Channel


@dataclass(frozen=True, slots=True)
class LevelFacts:
    """One array."""

    path: str
    """Where it lies in the series' hierarchy."""
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    scale: tuple[float, ...]
    """Step along each axis, in its unit."""
    translation: tuple[float, ...]
    bytes: int
    """In memory."""
    photometric_interpretation: str | None
    lossy: bool | None
    transfer_syntax_uid: str | None
    """As the metadata announces it; None where only the first frame will tell."""


@dataclass(frozen=True, slots=True)
class CoordinateFacts:
    """Values along axes."""

    name: str
    axes: str
    """One letter for each, as ``t`` or ``tz``."""
    unit: str
    values: Any
    """Nested along the axes."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """One multiscale image."""

    path: str
    """Its group in the series' hierarchy; empty for the root."""
    name: str
    axes: tuple[Axis, ...]
    color: bool
    """The channels are R, G, B."""
    channels: tuple[Channel, ...]
    affine: Affine | None
    kind: str
    """What was found, in words; empty for slides."""
    values: str
    """What values measure, and how stored ones become that, in words; empty where the header says nothing of it."""
    orientation: str
    """How it lies in the patient, in words; empty where that is not known."""
    orientation_letters: str
    """Where x, y and z lead, as ``LPS``; empty likewise."""
    grouped_by: tuple[str, ...]
    """In what the images of the series differ."""
    coordinates: tuple[CoordinateFacts, ...]
    """What counts the axes that are not of a picture."""
    labels: tuple[str, ...]
    """Groups of its label images."""
    levels: tuple[LevelFacts, ...]
    """Finest first."""


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """A series."""

    url: str
    server: str
    """Its host, and port if it is unusual."""
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    bytes: int
    """Of all arrays in memory."""
    images: tuple[ImageFacts, ...]
    associated: tuple[ImageFacts, ...]
    notices: tuple[str, ...]
    """What was left out or looks odd."""

    @property
    def all_images(self) -> tuple[ImageFacts, ...]:
        """Associated images too."""
        return (*self.images, *self.associated)


def series_facts(image: Image, target: Target) -> SeriesFacts:
    """The facts about an opened series; nothing is fetched."""
    images = tuple(_image_facts(each) for each in image.images)
    associated = tuple(_image_facts(each) for each in image.associated.values())
    return SeriesFacts(
        url=str(target.url),
        server=target.host,
        study_instance_uid=target.url.study or "",
        series_instance_uid=target.url.series or "",
        modality=image.plan.attributes.modality or "",
        bytes=sum(level.bytes for each in (*images, *associated) for level in each.levels),
        images=images,
        associated=associated,
        notices=image.notices,
    )


def _image_facts(image: Image) -> ImageFacts:
    known = image.plan.attributes
    return ImageFacts(
        path=image.path,
        name=image.name,
        axes=image.axes,
        color=image.plan.color,
        channels=image.channels,
        affine=image.affine,
        kind=known.kind or "",
        values=values_words(image.plan),
        orientation=orientation_words(image.plan),
        orientation_letters=orientation_letters(image.plan),
        grouped_by=known.grouped_by,
        coordinates=tuple(_coordinates(image)),
        labels=tuple(label.path for label in image.labels.values()),
        levels=tuple(_level_facts(image, level) for level in image.levels),
    )


def _coordinates(image: Image) -> Iterator[CoordinateFacts]:
    for name, told in image.plan.attributes.coordinates.items():
        yield CoordinateFacts(name, told.axes, told.unit, told.values)


def _level_facts(image: Image, level: Level) -> LevelFacts:
    known = image.plan.levels[level.number].attributes
    return LevelFacts(
        path=f"{image.path}/{level.number}" if image.path else str(level.number),
        shape=level.shape,
        chunks=level.chunks,
        dtype=level.dtype.name,
        scale=level.scale,
        translation=level.translation,
        bytes=level.nbytes,
        photometric_interpretation=known.photometric_interpretation or None,
        lossy=known.lossy,
        transfer_syntax_uid=known.available_transfer_syntax_uid or None,
    )
