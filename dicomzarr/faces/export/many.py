"""``dicomzarr.export_many``: many series become files, one after the other or on the workers of a cluster."""

from __future__ import annotations

import os
from collections.abc import Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any, NamedTuple

from dicomzarr.arrays.image import Image
from dicomzarr.arrays.series_handle import SeriesHandle
from dicomzarr.errors import DicomZarrError, UsageError
from dicomzarr.faces.export.exporting import Copy
from dicomzarr.faces.export.options import check_names, parse_options
from dicomzarr.options import StorageOptions
from dicomzarr.runtime.tracebacks import keeps_secrets, without_frames
from dicomzarr.session.locate import parse_series_url

if TYPE_CHECKING:
    from dicomzarr.faces.export.exporting import Exported

_HOW = frozenset(signature(parse_options).parameters) - {"target"}


class _Job(NamedTuple):
    """One series; what of it is secret does not travel."""

    handle: SeriesHandle
    copy: Copy
    overwrite: bool

    def write(self) -> Exported:
        """Write the copy, but for its last step."""
        image = Image(self.handle, self.handle.store().plan.image_paths[0])
        return self.copy.write(image, overwrite=self.overwrite)


@keeps_secrets
def export_many(
    targets: Mapping[str, str | os.PathLike[str]],
    *,
    cluster: Any = None,
    overwrite: bool = False,
    target_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> dict[str, Exported | DicomZarrError]:
    """Export many series, each as `export` does; one that fails is no failure of the others.

    On a cluster each series is a task. One whose worker dies begins anew on another one, and goes on where it was.
    Credentials do not travel: workers find by themselves those that have names, as ``auth="env:NAME"``. All of them
    must reach the targets, as folders of a shared disk, or a bucket.

    Args:
        targets: Where each series goes, by its URL.
        cluster: A ``distributed.Client``; None for one after the other, here.
        overwrite: Replace what is at the targets.
        target_options: Options of fsspec for the targets.
        **options: What `export` takes besides, and storage options.

    Returns:
        What was written of each series, or why it was not, by its URL.

    Raises:
        UsageError: It is no mapping that is given.
        InvalidOptionError: An option is unknown or cannot be meant.
    """
    if not isinstance(targets, Mapping):
        raise UsageError(
            f"export_many takes a mapping, and not a {type(targets).__name__}.",
            remedy="Write where each series goes by its URL: {URL: TARGET}.",
        )
    how = {name: value for name, value in options.items() if name in _HOW}
    storage = {name: value for name, value in options.items() if name not in _HOW}
    check_names(storage)
    StorageOptions.parse(**storage)
    found: dict[str, Exported | DicomZarrError] = {}
    jobs: dict[str, _Job] = {}
    for url, target in targets.items():
        chosen = parse_options(os.fspath(target), **how)
        try:
            handle = SeriesHandle(*parse_series_url(url, storage))
        except DicomZarrError as error:
            found[url] = without_frames(error)
        else:
            jobs[url] = _Job(handle, Copy(os.fspath(target), chosen, target_options or {}), overwrite)
    if cluster is None:
        return found | {url: _finished(job, _written(job)) for url, job in jobs.items()}
    # Two steps: what a worker has returned, and nobody fetched, is lost with it, and done anew on another one. The
    # journal is there until the first step is known to be done, so that this is no export to a target that exists.
    written = {url: cluster.submit(_written, job, pure=False) for url, job in jobs.items()}
    finished = {}
    for url, job in jobs.items():
        outcome = _result(written[url])
        written[url].release()
        finished[url] = cluster.submit(_finished, job, outcome, pure=False)
    return found | {url: _result(future) for url, future in finished.items()}


def _written(job: _Job) -> Exported | DicomZarrError:
    try:
        return job.write()
    except DicomZarrError as error:
        return without_frames(error)


def _finished(job: _Job, outcome: Exported | DicomZarrError) -> Exported | DicomZarrError:
    """The outcome, and where it is a copy its last step."""
    if isinstance(outcome, DicomZarrError):
        return outcome
    try:
        job.copy.finish()
    except DicomZarrError as error:
        return without_frames(error)
    return outcome


def _result(future: Any) -> Exported | DicomZarrError:
    from distributed.scheduler import KilledWorker  # noqa: PLC0415  # it is there where a cluster is

    try:
        found: Exported | DicomZarrError = future.result()
    except KilledWorker:
        return DicomZarrError(
            "The workers that exported the series died, one after the other.",
            remedy="Give them more memory, or make block_bytes smaller; the same call goes on from there.",
        )
    return found
