"""Many series are exported in one call, here or by the workers of a cluster, some of which die."""

from __future__ import annotations

import asyncio
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import cloudpickle  # type: ignore[import-untyped]  # it has no types
import numpy as np
import pytest
from aiohttp import web
from distributed import Client, LocalCluster
from opened import group_at
from radiology_model import AXIAL, distinct
from radiology_opened import Opener, pixels_of
from radiology_volumes import volume
from waiting import SECONDS

import dicomzarr
from dicomzarr.errors import (
    CredentialsUnavailableError,
    DicomZarrError,
    InvalidOptionError,
    InvalidURLError,
    SeriesNotFoundError,
    UsageError,
)
from dicomzarr.faces.cli import main
from dicomzarr.faces.export import many

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dicomzarr.demo.server import DICOMwebServer


ELSEWHERE = """
import pickle, sys
function, args = pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(pickle.dumps(function(*args)))
"""


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


def serve(opened: Opener, count: int, *middlewares: Any) -> tuple[DICOMwebServer, list[str]]:
    """A server of so many volumes, and their URLs."""
    series = [volume(AXIAL, distinct((6, 40, 50)) ^ number, name=f"many {number}") for number in range(count)]
    server = opened.serve([dataset for each in series for dataset in each.datasets], *middlewares)
    return server, [server.series_url(each.study_uid, each.series_uid) for each in series]


def targets_of(urls: list[str], folder: Path) -> dict[str, str]:
    return {url: str(folder / f"{number}.zarr") for number, url in enumerate(urls)}


def assert_exported(targets: dict[str, str]) -> None:
    for url, target in targets.items():
        image = dicomzarr.open(url)
        assert np.array_equal(np.asarray(group_at(target)["0"]), pixels_of(image))
        assert not os.path.exists(f"{target}.journal")  # noqa: PTH110  # a string


def test_one_that_fails_is_no_failure_of_the_others(opened: Opener, tmp_path: Path) -> None:
    _, urls = serve(opened, 2)
    targets = targets_of(urls, tmp_path)
    lost = f"{urls[0]}.9"
    found = dicomzarr.export_many({lost: tmp_path / "lost.zarr", "nonsense": tmp_path / "n.zarr", **targets})
    assert isinstance(found[lost], SeriesNotFoundError)
    assert isinstance(found["nonsense"], InvalidURLError)
    assert all(not isinstance(found[url], DicomZarrError) for url in urls)
    assert_exported(targets)


def test_options_are_those_of_one_export(opened: Opener, tmp_path: Path) -> None:
    _, urls = serve(opened, 1)
    targets = targets_of(urls, tmp_path)
    dicomzarr.export_many(targets, region={"z": (2, 4)}, zarr_format=2, values="modality")
    array: Any = group_at(targets[urls[0]])["0"]
    assert np.array_equal(array[...], dicomzarr.open(urls[0], values="modality").levels[0][2:4])
    assert array.metadata.zarr_format == 2
    with pytest.raises(InvalidOptionError):
        dicomzarr.export_many(targets, keep_encoded=True, shard=2)
    with pytest.raises(InvalidOptionError, match="nonsense"):
        dicomzarr.export_many(targets, nonsense=1)


def _blocks_in(journal: Path) -> int:
    """Blocks that are done, after the line that says of what."""
    return len(journal.read_text().splitlines()) - 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of sockets to a worker that was killed
def test_a_cluster_exports_twenty_series_though_a_worker_is_killed(opened: Opener, tmp_path: Path) -> None:
    go_on, asked = threading.Event(), Counter[str]()

    @web.middleware
    async def hold(request: web.Request, handler: Any) -> web.StreamResponse:
        if "/frames/" in request.path:
            series = request.path.partition("/series/")[2].partition("/")[0]
            asked[series] += 1
            if asked[series] > 3:
                await asyncio.to_thread(go_on.wait, SECONDS)
        found: web.StreamResponse = await handler(request)
        return found

    _, urls = serve(opened, 20, hold)
    targets = targets_of(urls, tmp_path)
    found: dict[str, Any] = {}
    with (
        LocalCluster(  # type: ignore[no-untyped-call]  # distributed's
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]  # as above
    ):
        worker = min(client.run(os.getpid).values())
        options = {"frames_per_request": 1, "max_connections": 1, "block_bytes": 1}
        work = threading.Thread(
            target=lambda: found.update(dicomzarr.export_many(targets, cluster=client, **options)), daemon=True
        )
        work.start()
        while sum(_blocks_in(journal) > 0 for journal in tmp_path.glob("*.journal")) < 2:
            assert work.is_alive()
            time.sleep(0.01)
        os.kill(worker, signal.SIGKILL)
        go_on.set()
        work.join(SECONDS)
        assert not work.is_alive()
    assert found.keys() == targets.keys()
    assert [each for each in found.values() if isinstance(each, DicomZarrError)] == []
    resumed = [each.resumed for each in found.values() if each.resumed]
    assert resumed  # what the dead one had written was not written again
    assert_exported(targets)


@pytest.mark.slow
def test_the_command_has_a_list_exported_by_a_cluster(
    opened: Opener, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server, urls = serve(opened, 3)
    ids = [re.findall(r"(?:studies|series)/([^/]+)", url) for url in urls]
    lines = ["StudyInstanceUID,SeriesInstanceUID", *map(",".join, ids), f"{ids[0][0]},1.2.3.4"]
    (tmp_path / "ids.csv").write_text("\n".join(lines))
    command = ["export", server.url, str(tmp_path / "{series}.zarr"), "--from", str(tmp_path / "ids.csv")]
    with LocalCluster(  # type: ignore[no-untyped-call]  # distributed's
        n_workers=1, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        command += ["--cluster", cluster.scheduler_address]
        assert main(command) == 1
        told = capsys.readouterr().err
        assert told.count("read again and compared") == 3
        assert "1 of 4 series failed" in told
        assert_exported({url: str(tmp_path / f"{series}.zarr") for url, (_, series) in zip(urls, ids, strict=True)})
        assert main(command) == 1
        assert capsys.readouterr().err.count("is there already, and stays as it is") == 3


def test_what_is_given_for_a_mapping_or_a_function_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    for given in (["http://127.0.0.1:9/studies/1/series/2"], "http://127.0.0.1:9", None):
        with pytest.raises(UsageError, match="export_many takes a mapping"):
            dicomzarr.export_many(given)  # type: ignore[arg-type]  # a mistake on purpose
    with pytest.raises(UsageError, match="progress is True, and no function"):
        dicomzarr.export("http://127.0.0.1:9/studies/1/series/2", tmp_path / "a.zarr", progress=True)  # type: ignore[arg-type]  # likewise
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_without_a_list_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "http://127.0.0.1:9", str(tmp_path / "out.zarr"), "--cluster", "tcp://127.0.0.1:9"]) == 2
    assert "--cluster is for many series" in capsys.readouterr().err


@pytest.mark.slow
def test_credentials_do_not_travel_to_a_cluster(opened: Opener, tmp_path: Path) -> None:
    _, urls = serve(opened, 1)

    class Elsewhere:
        """Runs in a process that does not have the secrets, as workers are."""

        def submit(self, function: Any, *args: Any, pure: bool) -> Any:
            assert not pure
            sent = cloudpickle.dumps((function, args))
            assert b"s3cret" not in sent
            done = subprocess.run([sys.executable, "-c", ELSEWHERE], input=sent, capture_output=True, check=True)  # noqa: S603  # ours
            answer: Future[Any] = Future()
            answer.set_result(pickle.loads(done.stdout))  # noqa: S301  # our own
            answer.release = lambda: None  # type: ignore[attr-defined]  # distributed's
            return answer

    found = dicomzarr.export_many(
        targets_of(urls, tmp_path), cluster=Elsewhere(), headers={"Authorization": "Bearer s3cret"}
    )
    assert isinstance(found[urls[0]], CredentialsUnavailableError)


def test_workers_that_die_again_and_again_are_an_error() -> None:
    scheduler = pytest.importorskip("distributed.scheduler")

    class Killed:
        def result(self) -> Any:
            raise scheduler.KilledWorker("task", None, 3)

    outcome: Any = many._result(Killed())
    assert "block_bytes smaller" in str(outcome)
