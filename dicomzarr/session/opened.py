"""A series in the state in which it was opened, and the views that are made of it."""

from __future__ import annotations

import warnings
from copy import deepcopy
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakValueDictionary

from dicomzarr.dicom.series import parse_series
from dicomzarr.errors import GuessWarning
from dicomzarr.omezarr.documents import V3
from dicomzarr.omezarr.documents_v2 import V2
from dicomzarr.omezarr.layout import build_hierarchy
from dicomzarr.omezarr.series_store import SeriesStore
from dicomzarr.options.limits import LIMITS
from dicomzarr.plan import plan_images
from dicomzarr.runtime.collection import without_collection
from dicomzarr.runtime.process import ProcessLock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dicomzarr.dicom.series import Series
    from dicomzarr.engine.ports import SeriesMetadata, SeriesRef
    from dicomzarr.engine.source import FrameSource
    from dicomzarr.options import Limits, View
    from dicomzarr.plan import SeriesPlan


_FORMATS: Final = {2: V2, 3: V3}


class _Planned(NamedTuple):
    """What a plan is made of, beside the series."""

    values: str
    icc: str | None
    virtual_levels: bool
    associated_label: bool
    bulk: tuple[tuple[str, bytes], ...]


class ParsedSeries:
    """Metadata of a series, typed, and the plans that were made of them: the same for all who were sent the same.

    Args:
        series: The series, with what identifies the patient.
        digest: Of its metadata.
    """

    def __init__(self, series: Series, digest: bytes) -> None:
        self.series = series
        self.digest = digest
        self._plans: dict[_Planned, SeriesPlan] = {}

    def apart(self) -> Series:
        """The series with remarks of its own: planning adds to them, and no view shall show those of another."""
        return replace(self.series, remarks=deepcopy(self.series.remarks))

    def plan(self, view: View, bulk: Mapping[str, bytes], most_images: int) -> SeriesPlan:
        """The images of a view, without segmentations.

        Args:
            view: How it is shown.
            bulk: Values that the metadata only name, by their URI.
            most_images: How many there may be.

        Raises:
            MetadataError: Nothing can be placed.
        """
        planned = _Planned(
            view.values, view.icc, view.virtual_levels, view.associated_label, tuple(sorted(bulk.items()))
        )
        plan = self._plans.get(planned)
        if plan is None:
            plan = plan_images(
                self.apart(),
                associated_label=view.associated_label,
                values=view.values,
                icc=view.icc,
                virtual_levels=view.virtual_levels,
                bulk=bulk,
                most_images=most_images,
            )
            self._plans[planned] = plan
        return plan


_parsed: WeakValueDictionary[tuple[SeriesRef, bytes], ParsedSeries] = WeakValueDictionary()
"""By series, and the hash of its metadata."""
_LOCK = ProcessLock()
"""Around it: threads of several servers come here."""


@without_collection
def parsed_series(metadata: SeriesMetadata, ref: SeriesRef, limits: Limits) -> ParsedSeries:
    """The metadata of a series, typed; once for all who are sent the same, whoever they are.

    Raises:
        MetadataError: It is no DICOM JSON, too large, or nothing that can be opened.
    """
    digest = sha256(metadata.common + metadata.body).digest()
    key = ref, digest
    parsed = _parsed.get(key)
    if parsed is None:
        parsed = ParsedSeries(parse_series(metadata.instances(limits), *ref), digest)
    with _LOCK:
        return _parsed.setdefault(key, parsed)


@dataclass(frozen=True, eq=False)
class OpenedSeries:
    """A series on an endpoint in the state in which it was opened: what its views are made of, and read through."""

    parsed: ParsedSeries
    source: FrameSource
    bulk: dict[str, bytes] = field(default_factory=dict)
    """What the metadata only name, by its URI, as far as a view needed it."""
    notices: tuple[str, ...] = ()
    """What was left out of the metadata, and why."""
    most_images: int = LIMITS.images
    """That its frames may become."""


class Segmentations(NamedTuple):
    """What of a study refers to a series."""

    opened: Sequence[OpenedSeries] = ()
    notices: Sequence[str] = ()
    """What is broken among it."""


@without_collection
def compose(opened: OpenedSeries, view: View, bulk: Mapping[str, bytes], segmentations: Segmentations) -> SeriesStore:
    """The store of a view; pure.

    Raises:
        MetadataError: The metadata describes nothing that can be placed.
    """
    series = opened.parsed.series
    plan = opened.parsed.plan(view, bulk, opened.most_images)
    if segmentations.opened:
        from dicomzarr.plan.labels import add_labels  # noqa: PLC0415  # only for those who ask for labels

        plan = add_labels(plan, [each.parsed.apart() for each in segmentations.opened])
    if opened.notices or segmentations.notices:
        plan = replace(plan, notices=(*plan.notices, *opened.notices, *segmentations.notices))
    for guess in plan.guesses:
        warnings.warn(guess, GuessWarning, stacklevel=2)
    identity: dict[str, object] = {
        "study_instance_uid": series.study_uid,
        "series_instance_uid": series.series_uid,
    }
    if view.include_phi and series.patient:
        identity["patient"] = dict(series.patient)
    others = {each.parsed.series.series_uid: each for each in segmentations.opened}
    sources = {uid: each.source for uid, each in others.items()}
    root = build_hierarchy(plan, identity, _FORMATS[view.zarr_format])
    return SeriesStore(plan, root, opened.source, sources, (opened, *others.values()))
