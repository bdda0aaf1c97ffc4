"""Segments on the grid of an image in one array of numbers, as those who train and measure want them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

from dicomzarr.arrays.volume.reasons import refuse, why_no_grid
from dicomzarr.arrays.volume.volume import Volume
from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy.typing as npt

    from dicomzarr.arrays.level import MultiscaleImage

Overlap = Literal["refuse", "first", "last"]
_OVERLAPS: Final = ("refuse", "first", "last")
_MOST: Final = 65535
"""The highest number that may be given: of 16 bits."""
_HIGHEST: Final = 2**31 - 1
"""The highest of their own: of VR IS (PS3.5 section 6.2)."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """Numbers of segments on the grid of an image."""

    values: npt.NDArray[np.unsignedinteger[Any]]
    """(z, y, x): 0 where there is no segment."""
    names: Mapping[int, str]
    """The name of the segment of each number: SegmentLabel (0062,0005), or ROIName (3006,0026)."""
    affine: npt.NDArray[np.float64]
    """(column, row, slice, 1) to LPS millimetres."""
    notices: tuple[str, ...] = ()
    """What was left out, as segmentations on other grids, and of what segments of one name are."""

    def __repr__(self) -> str:
        sizes = " x ".join(map(str, self.values.shape))
        names = [f"{number} {name!r}" for number, name in self.names.items()]
        return "\n  ".join([f"<label map (z, y, x) {sizes} {self.values.dtype}>", *names, *self.notices])

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:  # noqa: FBT001  # NumPy's signature
        """Its values."""
        return np.array(self.values, dtype=dtype, copy=True) if copy else np.asarray(self.values, dtype=dtype)

    def to_sitk(self) -> Any:
        """As a ``SimpleITK.Image`` of integers.

        Raises:
            UsageError: SimpleITK is not installed.
        """
        from dicomzarr.arrays.volume.itk import sitk_image  # noqa: PLC0415  # an extra

        return sitk_image(self._volume)

    def to_nibabel(self) -> Any:
        """As a ``nibabel.Nifti1Image`` of integers.

        Raises:
            UsageError: nibabel is not installed.
        """
        from dicomzarr.arrays.volume.nifti import nibabel_image  # noqa: PLC0415

        return nibabel_image(self._volume)

    def to_nifti(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write it as a file of NIfTI.

        Args:
            path: Ends in ``.nii``, or in ``.nii.gz`` for a compressed one.
            overwrite: Replace what is there.

        Raises:
            UsageError: nibabel is not installed, or there is something at the path.
            TargetError: The file could not be written.
        """
        from dicomzarr.arrays.volume.nifti import write_nifti  # noqa: PLC0415

        write_nifti(self._volume, path, overwrite=overwrite)

    @property
    def _volume(self) -> Volume:
        return Volume(self.values, self.affine, False, 1.0, None, None)  # noqa: FBT003  # no colours


class Layer(NamedTuple):
    """One segment on the grid."""

    source: str
    """What it is of, as a Series Instance UID."""
    number: int
    name: str
    read: Callable[[], npt.NDArray[np.bool_]]
    """Gives its mask, (z, y, x): one at a time, for a body has a hundred."""
    instance: str = ""
    """SOP Instance UID of what it is of, the first of several."""


class Grid(NamedTuple):
    """Where voxels are wanted."""

    shape: tuple[int, int, int]
    """(z, y, x)."""
    affine: npt.NDArray[np.float64]
    frame_of_reference: str | None
    series: str | None
    """Series Instance UID."""


def grid_of(image: MultiscaleImage) -> Grid:
    """The grid of an image.

    Raises:
        UsageError: It has none that an affine can say.
    """
    plan, level = image.plan, image.levels[0]
    refuse(why_no_grid(plan), "This image is no volume")
    sizes = dict(zip(level.axes, level.shape, strict=True))
    shape = (sizes.get("z", 1), sizes["y"], sizes["x"])
    return Grid(shape, np.array(plan.affine), plan.frame_of_reference_uid, image._handle.url.series)  # noqa: SLF001  # one room


def merged(layers: Sequence[Layer], grid: Grid, overlap: Overlap, numbers: Sequence[int]) -> LabelMap:
    """Segments in one array, each as its number.

    Raises:
        UsageError: Some of other numbers share voxels, and that is refused; or ``overlap`` is another word.
    """
    if overlap not in _OVERLAPS:
        raise UsageError(f"overlap is {overlap!r:.20}.", remedy=f"Give one of {', '.join(map(repr, _OVERLAPS))}.")
    values = np.zeros(grid.shape, np.min_scalar_type(max(numbers, default=0)))
    names: defaultdict[int, list[str]] = defaultdict(list)
    shared = 0
    for number, layer in zip(numbers, layers, strict=True):
        mask = layer.read()
        there = values[mask]
        taken = (there != 0) & (there != number)
        shared += int(np.count_nonzero(taken))
        values[mask] = np.where(taken, there, number) if overlap == "first" else number
        names[number].append(layer.name)
    if shared and overlap == "refuse":
        raise UsageError(
            f"Segments share {shared} voxels, and one number does not say both.",
            remedy='Choose segments by names, or say which counts: overlap="first" or "last".',
        )
    return LabelMap(values, {number: ", ".join(dict.fromkeys(each)) for number, each in names.items()}, grid.affine)


def numbers_of(layers: Sequence[Layer], names: Iterable[str] | None) -> list[int]:
    """Those that names are given; else their own, or, where two have one or one is impossible, counted from 1.

    Raises:
        UsageError: One that is given is impossible.
    """
    if isinstance(names, Mapping):
        given = [names[layer.name] for layer in layers]
        wrong = next((each for each in given if not _is_number(each)), None)
        if wrong is not None:
            raise UsageError(f"No segment can have the number {wrong!r:.20}.", remedy=f"Give 1 to {_MOST}.")
        return [int(each) for each in given]
    own = [layer.number for layer in layers]
    return (
        own if len(set(own)) == len(own) and all(0 < each <= _HIGHEST for each in own) else list(range(1, len(own) + 1))
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and 1 <= int(value) <= _MOST


def chosen(layers: Sequence[Layer], names: Iterable[str] | None) -> Sequence[Layer]:
    """The layers of these names.

    Raises:
        UsageError: There is none of a name, or one in each of several segmentations.
    """
    if names is None:
        return layers
    wanted = [names] if isinstance(names, str) else list(names)
    lacking = [name for name in wanted if name not in {layer.name for layer in layers}]
    if lacking:
        known = ", ".join(dict.fromkeys(repr(layer.name) for layer in layers))
        raise UsageError(f"There is no segment named {lacking[0]!r:.60}.", remedy=f"There are: {known}.")
    for name in wanted:
        found = [layer for layer in layers if layer.name == name]
        if len(instances := {layer.instance for layer in found}) > 1:
            sources = ", ".join(dict.fromkeys(layer.source for layer in found))
            raise UsageError(
                f"{len(instances)} segmentations have a segment named {name!r:.60}, and one name does not say which.",
                remedy=f"segmentation=URL takes those of one series ({sources}); labels=True has each in image.labels.",
            )
    return [layer for layer in layers if layer.name in wanted]


def alike(layers: Sequence[Layer], numbers: Sequence[int]) -> Iterator[str]:
    """What should be known of layers that have one name: whether they are one number, and else of what each is."""
    by_name: defaultdict[str, dict[Layer, int]] = defaultdict(dict)
    for layer, number in zip(layers, numbers, strict=True):
        by_name[layer.name][layer] = number
    for name, named in by_name.items():
        if len(named) > 1 and len(set(named.values())) == 1:
            yield f"{len(named)} segments are named {name!r:.60}: they are {next(iter(named.values()))} together."
        elif len({layer.instance for layer in named}) > 1:
            each = ", ".join(f"{number} is of {layer.source}" for layer, number in named.items())
            yield f"{len(named)} segments are named {name!r:.60}: {each}."
