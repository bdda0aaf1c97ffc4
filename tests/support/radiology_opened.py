"""Opens synthetic radiology from a server in this process, and compares what comes out."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from asking import ask_by
from serving import forget_servers

import dicomzarr
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.instances import from_dataset
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.omezarr.attributes import dicomzarr_attributes
from dicomzarr.sources.dicomweb.tuning.thresholds import Thresholds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from aiohttp.typedefs import Middleware
    from radiology_model import Grid, Pixels, RadiologySeries

    from dicomzarr.arrays.image import Image
    from dicomzarr.demo.archive import Storable


def ready_to_serve(series: RadiologySeries) -> RadiologySeries:
    """The same series, of whose instances metadata and files are made once, however often it is served."""
    instances = map(from_dataset, series.datasets)
    ready = [
        replace(each, metadata=cache(each.metadata), part10=each.part10 and cache(each.part10)) for each in instances
    ]
    return replace(series, datasets=tuple(cast("list[Any]", ready)))


LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class Opener:
    """Serves series and opens them; use it as a context manager, after which no server is left.

    Args:
        thresholds: By which the servers are asked.
    """

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        self._open = ExitStack()
        self.thresholds = thresholds or Thresholds()
        self.servers: list[DICOMwebServer] = []
        """One for each series that was opened."""

    def __call__(self, series: RadiologySeries, *middlewares: Middleware, **options: Any) -> Image:
        """Open a series."""
        return dicomzarr.open(self.url(series, *middlewares), **options)

    def url(self, series: RadiologySeries, *middlewares: Middleware) -> str:
        """Serve a series; gives its URL."""
        return self.serve(series.datasets, *middlewares).series_url(series.study_uid, series.series_uid)

    def serve(self, stored: Iterable[Storable], *middlewares: Middleware) -> DICOMwebServer:
        """Serve these instances."""
        server = self._open.enter_context(DICOMwebServer(Archive(stored), middlewares=middlewares))
        self.servers.append(server)
        ask_by(server.url, self.thresholds)
        return server

    def count(self, resource: str) -> int:
        """Requests for a resource to the server that started last."""
        return sum(request.resource == resource for request in self.servers[-1].requests)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        forget_servers()
        self._open.close()


def pixels_of(image: Image) -> Pixels:
    """The whole finest level."""
    pixels: Pixels = image.levels[0][...]
    return pixels


def axes_of(image: Image) -> str:
    """Axis names in one word: ``tczyx``."""
    return "".join(axis.name for axis in image.axes)


def units_of(image: Image) -> dict[str, str | None]:
    """The unit of each axis."""
    return {axis.name: axis.unit for axis in image.axes}


def shows(image: Image, axes: str, expected: Pixels) -> bool:
    """Whether the image has these axes, and stored values of this type."""
    level = image.levels[0]
    assert (axes_of(image), level.shape, level.dtype) == (axes, expected.shape, expected.dtype)
    return np.array_equal(pixels_of(image), expected)


def affine_of(image: Image) -> Pixels:
    """The affine, which must be there, as an array."""
    assert image.affine is not None
    return np.array(image.affine)


def lies_on(image: Image, grid: Grid) -> bool:
    """Whether a volume lies on this grid, its first slice on slice 0."""
    affine, scale = affine_of(image), dict(zip(axes_of(image), image.levels[0].scale, strict=True))
    spacing = {"z": grid.z_spacing, "y": grid.spacing[0], "x": grid.spacing[1]}
    assert affine.shape == (4, 4)
    return (
        np.allclose(affine, grid.affine, rtol=0, atol=1e-6)
        and np.allclose(np.array(image.affine_ras), LPS_TO_RAS @ grid.affine, rtol=0, atol=1e-6)
        and all(np.isclose(scale[name], spacing[name], rtol=1e-6) for name in spacing)
        and all(units_of(image)[name] == "millimeter" for name in spacing)
    )


def coordinate(image: Image, name: str) -> Mapping[str, Any]:
    """What the image says of one dimension: axis, values, unit."""
    coordinates: Any = dicomzarr_attributes(image.plan)["coordinates"]
    found: Mapping[str, Any] = coordinates[name]
    return found


def has_no_space(image: Image) -> bool:
    """Whether nothing was invented: no affine, no unit, steps of 1."""
    space = [
        (axis.unit, step) for axis, step in zip(image.axes, image.levels[0].scale, strict=True) if axis.name in "zyx"
    ]
    return image.affine is None and all(found == (None, 1.0) for found in space)
