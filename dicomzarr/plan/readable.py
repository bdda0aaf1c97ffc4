"""Which instances of a series have pixels that can be read, and which of them are of a slide."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.pixels.syntax import check_openable
from dicomzarr.dicom.series import is_slide
from dicomzarr.dicom.slide.slide import FLAVORS
from dicomzarr.errors import UnsupportedSeriesError, UnsupportedTransferSyntaxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dicomzarr.dicom.instance import Instance
    from dicomzarr.dicom.series import Series
    from dicomzarr.plan.plan import SeriesPlan

_SAMPLES: Final = frozenset({1, 3})
"""Of a pixel of images that can be read."""


def with_readable(series: Series) -> Series:
    """The series without instances whose pixels have as many samples as no image here; a notice says so.

    Raises:
        UnsupportedSeriesError: There are no others.
    """
    others = [instance for instance in series.instances if instance.pixel.samples not in _SAMPLES]
    if not others:
        return series
    sentence = f"pixels of {others[0].pixel.samples} samples cannot be read; 1 or 3 can."
    if len(others) == len(series.instances):
        raise UnsupportedSeriesError(f"Instance {others[0].sop_instance_uid}: {sentence}")
    notice = f"{len(others)} instances were left out, of which the first is {others[0].sop_instance_uid}: {sentence}"
    found = _of(series, lambda instance: instance.pixel.samples in _SAMPLES)
    return replace(found, notices=(*series.notices, notice))


def parted(series: Series) -> tuple[Series | None, Series | None]:
    """What of a series is of a slide, and what is not: pictures and volumes that somebody put into the same series."""
    if not series.is_slide:
        return None, series
    tiles = _of(series, _is_of_slide)
    if len(tiles.instances) == len(series.instances):
        return series, None
    return tiles, replace(_of(series, lambda instance: not _is_of_slide(instance)), notices=())


def joined(plans: Sequence[SeriesPlan]) -> SeriesPlan:
    """One plan of what is of a slide and what is not."""
    first, *others = plans
    if not others:
        return first
    (volumes,) = others
    images = (*first.images, *volumes.images)
    why = (f"The series holds {len(images)} images: the last {len(volumes.images)} are not of the slide.",)
    return replace(
        first,
        images=images,
        notices=tuple(dict.fromkeys((*(why if first.images else ()), *first.notices, *volumes.notices))),
        guesses=(*first.guesses, *volumes.guesses),
    )


def why_not_decoded(instance: Instance) -> UnsupportedTransferSyntaxError | None:
    """The error that reading the frames of an instance raises, as far as the metadata tell."""
    where = f"Instance {instance.sop_instance_uid}"
    try:
        check_openable(instance.available_transfer_syntax_uid, instance.sop_class_uid, where)
    except UnsupportedTransferSyntaxError as error:
        return error
    return None


def with_undecodable(plan: SeriesPlan, instances: Iterable[Instance]) -> SeriesPlan:
    """The same plan; a notice says that frames raise when they are read, where they do: they have their place.

    Args:
        plan: Of a series.
        instances: Those of the series.

    Raises:
        UnsupportedTransferSyntaxError: There are no others.
    """
    errors = {each.sop_instance_uid: error for each in instances if (error := why_not_decoded(each)) is not None}
    if not errors:
        return plan
    levels = (level for image in plan.images for level in image.levels)
    uids = dict.fromkeys(uid for level in levels for uid in level.attributes.sop_instance_uids)
    lost = [errors[uid] for uid in uids if uid in errors]
    if not lost:
        return plan
    if len(lost) == len(uids):
        raise lost[0]
    notice = f"{len(lost)} of {len(uids)} instances cannot be decoded; reading them raises: {lost[0].args[0]}"
    return replace(plan, notices=(*plan.notices, notice))


def _is_of_slide(instance: Instance) -> bool:
    """Whether it is a level, or what a slide series has beside them, as a label in another SOP class."""
    beside = instance.label_in_image or not set(FLAVORS).isdisjoint(instance.image_type)
    return is_slide(instance) or beside or instance.modality == "SM"


def _of(series: Series, wanted: Callable[[Instance], bool]) -> Series:
    instances = tuple(filter(wanted, series.instances))
    return replace(series, instances=instances, items={k: v for k, v in series.items.items() if wanted(k)})
