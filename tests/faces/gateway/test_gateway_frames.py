"""Stored JPEG frames handed through: the picture is the chunk, or the answer is 406."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import radiology
from gateways import ask, gateway, server_upstream
from PIL import Image
from slides import BUILDERS, coded_slide, sparse_brightfield
from slides_codecs import JPEG_422
from waiting import SECONDS

from dicomzarr.demo.archive import Archive
from dicomzarr.demo.instances import from_file
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.demo.slide import SERIES, STUDY, demo_files

if TYPE_CHECKING:
    from pathlib import Path

JPEGS = ("jpeg_ybr_full_422", "jpeg_jfif_header_rgb", "jpeg_adobe_rgb")
OTHERS = ("native_rgb", "jpeg2000_lossless", "jpegls_lossless", "htj2k_lossless", "rle_lossless")


def picture(data: bytes) -> Any:
    """(samples, rows, columns)"""
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    return pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


@pytest.mark.parametrize("codec", JPEGS)
def test_the_picture_is_the_chunk(codec: str) -> None:
    slide = coded_slide(codec)
    with DICOMwebServer(Archive(slide.datasets)) as server, gateway(server_upstream(server)) as running:
        path = f"studies/{slide.study_uid}/series/{slide.series_uid}.zarr/0/c/0/0/0"
        reply = ask(f"{running.url}/frames/{path}")
        assert (reply.status, reply.headers["Content-Type"]) == (200, "image/jpeg")
        assert picture(reply.body).tobytes() == ask(f"{running.url}/0.5/{path}").body
        assert ask(f"{running.url}/frames/{path}", If_None_Match=reply.headers["ETag"]).status == 304
        assert ask(f"{running.url}/frames/{path}", Range="bytes=-2").body == b"\xff\xd9"
        head = ask(f"{running.url}/frames/{path}", "HEAD")
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(reply.body)))


def test_the_demo_slide_is_handed_through(tmp_path: Path) -> None:
    del tmp_path
    with DICOMwebServer(Archive(map(from_file, demo_files()))) as server, gateway(server_upstream(server)) as running:
        path = f"studies/{STUDY}/series/{SERIES}.zarr/0/c/0/1/2"
        reply = ask(f"{running.url}/frames/{path}")
        assert reply.status == 200
        raw = ask(f"{running.url}/0.5/{path}")
        assert picture(reply.body).tobytes() == raw.body
        assert len(reply.body) * 4 < len(raw.body)


@pytest.mark.parametrize("codec", OTHERS)
def test_what_is_no_jpeg_is_not_acceptable(codec: str) -> None:
    slide = coded_slide(codec)
    with DICOMwebServer(Archive(slide.datasets)) as server, gateway(server_upstream(server)) as running:
        path = f"studies/{slide.study_uid}/series/{slide.series_uid}.zarr"
        reply = ask(f"{running.url}/frames/{path}/0/c/0/0/0")
        assert reply.status == 406
        assert "/0.5/" in reply.text


def test_a_tile_that_was_made_up_is_not_acceptable() -> None:
    slide = BUILDERS["sparse_jpeg"]()
    with DICOMwebServer(Archive(slide.datasets)) as server, gateway(server_upstream(server)) as running:
        path = f"studies/{slide.study_uid}/series/{slide.series_uid}.zarr"
        assert ask(f"{running.url}/frames/{path}/0/c/0/0/1").status == 406
        assert ask(f"{running.url}/0.5/{path}/0/c/0/0/1").status == 200
        assert ask(f"{running.url}/frames/{path}/0/c/0/0/0").status == 200
        assert ask(f"{running.url}/frames/{path}/0/c/0/0/99").status == 404
        for key in ("", "/", "/zarr.json", "/0/", "/0/c/0/0/0/"):
            assert ask(f"{running.url}/frames/{path}{key}").status == 404


def test_values_that_are_not_the_stored_ones_are_not_acceptable() -> None:
    series = radiology.BUILDERS["modality_lut"]()
    with (
        DICOMwebServer(Archive(series.datasets)) as server,
        gateway(server_upstream(server, values="modality")) as running,
    ):
        path = f"studies/{series.study_uid}/series/{series.series_uid}.zarr"
        assert ask(f"{running.url}/frames/{path}/0/c/0/0/0").status == 406
        assert ask(f"{running.url}/0.5/{path}/0/c/0/0/0").status == 200


def test_absent_tiles_of_a_white_slide_are_absent_frames() -> None:
    slide = sparse_brightfield(codec=JPEG_422)
    with DICOMwebServer(Archive(slide.datasets)) as server, gateway(server_upstream(server)) as running:
        path = f"studies/{slide.study_uid}/series/{slide.series_uid}.zarr"
        assert ask(f"{running.url}/frames/{path}/0/c/0/0/1").status == 404
        for accepted in ("application/octet-stream", "image/jpeg, application/octet-stream;q=0.9"):
            reply = ask(f"{running.url}/frames/{path}/0/c/0/0/1", Accept=accepted)
            assert (reply.status, reply.body) == (204, b"")
            assert "Accept" in reply.headers["Vary"]
            for nowhere in ("0/c/0/0/999", "0/c/0/0", "9/c/0/0/0", "0/c/0/0/-1"):
                assert ask(f"{running.url}/frames/{path}/{nowhere}", Accept=accepted).status == 404


def test_room_is_given_back_also_by_those_who_get_the_values_for_want_of_a_picture() -> None:
    slide = coded_slide("jpeg2000_lossless")
    for dataset in slide.datasets:  # so that only the frame itself tells that it is no JPEG
        dataset.pop("AvailableTransferSyntaxUID", None)
    with DICOMwebServer(Archive(slide.datasets)) as server, gateway(server_upstream(server)) as running:
        path = f"studies/{slide.study_uid}/series/{slide.series_uid}.zarr/0/c/0/0/0"
        reply = ask(f"{running.url}/frames/{path}", Accept="image/jpeg, application/octet-stream")
        assert reply.body == ask(f"{running.url}/0.5/{path}").body
        upstream = next(iter(running.shared.upstreams.by_name.values()))
        for _ in range(int(SECONDS * 100)):
            if upstream.budget.taken == 0:  # a moment after the reply
                return
            threading.Event().wait(0.01)
    raise AssertionError("It was not given back.")
