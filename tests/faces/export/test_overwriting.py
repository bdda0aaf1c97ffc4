"""What is at a target goes before anything is written, all of it; what is copied never goes, nor what is others'."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import slides
from exports import files_of
from folders import write
from radiology_model import AXIAL, distinct
from radiology_opened import Opener
from radiology_volumes import VOLUME, volume
from serving import serving

import dicomzarr
from dicomzarr.errors import InvalidOptionError, TargetExistsError, UsageError
from dicomzarr.faces.cli import main
from dicomzarr.faces.export import files as files_module
from dicomzarr.faces.export.zarr_target import ZarrTarget

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from radiology_model import RadiologySeries


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


def with_a_gap() -> RadiologySeries:
    """Slices 0, 1, 3, 4 and 5 of another series."""
    whole = volume(AXIAL, distinct((6, 16, 20)) + 1, name="with a gap")
    return replace(whole, datasets=tuple(each for place, each in enumerate(whole.datasets) if place != 2))


@pytest.mark.parametrize("again", [{}, {"overwrite": True}], ids=["again", "again with force"])
@pytest.mark.parametrize("removed", [0, 1, 4])
def test_nothing_of_the_target_before_stays_when_its_removal_was_interrupted(
    again: dict[str, Any], removed: int, opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, fresh = tmp_path / "out.zarr", tmp_path / "fresh.zarr"
    dicomzarr.export(opened.url(volume(AXIAL, distinct((9, 16, 20)))), out)
    url = opened.url(with_a_gap())
    dicomzarr.export(url, fresh)

    def interrupted(_: ZarrTarget) -> None:
        for path in sorted(out.rglob("*"), reverse=True)[:removed]:
            path.unlink() if path.is_file() else path.rmdir()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ZarrTarget, "remove", interrupted)
        with pytest.raises(KeyboardInterrupt):
            dicomzarr.export(url, out, overwrite=True)
    assert len(files_of(out)) > 9 - removed
    dicomzarr.export(url, out, **again)
    assert files_of(out) == files_of(fresh)


@pytest.mark.parametrize("target", ["", "..", "../../top.zarr", "../scans.zarr/", "../scans.zarr/../scans.zarr"])
def test_a_target_that_holds_the_files_is_refused(target: str, tmp_path: Path) -> None:
    folder = tmp_path / "top.zarr" / "scans.zarr"
    write(folder, volume().datasets)
    before = files_of(tmp_path)
    named = os.path.normpath(folder / target) + "/" * target.endswith("/")
    for place in (named, f"file://{named}", os.path.relpath(named)):
        with pytest.raises(UsageError, match="is, or holds, the files"):
            dicomzarr.export(folder, place, overwrite=True)
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("held", ["old.zarr", "old.zarr/0/c/3"])
def test_a_target_within_the_folder_that_holds_some_of_the_files_is_refused(held: str, tmp_path: Path) -> None:
    write(tmp_path, volume().datasets)
    target = tmp_path / "old.zarr"
    dicomzarr.export(tmp_path, target)
    (tmp_path / held).mkdir(parents=True, exist_ok=True)
    (tmp_path / "0001.dcm").rename(tmp_path / held / "0001.dcm")
    before = files_of(tmp_path)
    with pytest.raises(UsageError, match="is, or holds, the files"):
        dicomzarr.export(tmp_path, target, overwrite=True)
    assert files_of(tmp_path) == before
    (tmp_path / held / "0001.dcm").rename(tmp_path / "0001.dcm")
    dicomzarr.export(tmp_path, target, overwrite=True)
    np.testing.assert_array_equal(dicomzarr.open(tmp_path)[...], VOLUME)


def test_a_target_within_the_folder_is_fine_unless_it_is_one_of_the_files(tmp_path: Path) -> None:
    write(tmp_path, volume().datasets)
    (tmp_path / "0000.dcm").rename(tmp_path / "0000.nii")
    before = files_of(tmp_path)
    with pytest.raises(UsageError, match="is, or holds, the files"):
        dicomzarr.export(tmp_path, tmp_path / "0000.nii", overwrite=True)
    link = tmp_path / "link.nii"
    link.symlink_to(tmp_path / "0001.dcm")
    with pytest.raises(UsageError, match="is, or holds, the files"):
        dicomzarr.export(tmp_path, link, overwrite=True)
    link.unlink()
    assert files_of(tmp_path) == before
    dicomzarr.export(tmp_path, tmp_path / "own.zarr")
    dicomzarr.export(tmp_path, tmp_path / "own.zarr", overwrite=True)
    np.testing.assert_array_equal(dicomzarr.open(tmp_path).levels[0][...], VOLUME)


def test_a_folder_of_others_beside_the_target_is_left_alone(opened: Opener, tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    image = opened(volume())
    beside = tmp_path / "out.nii.partial"
    beside.mkdir()
    (beside / "notes.txt").write_text("mine")
    (tmp_path / "out.nii").write_text("mine too")
    before = files_of(tmp_path)
    for force in (False, True):
        with pytest.raises(UsageError, match="holds something else"):
            dicomzarr.export(image, tmp_path / "out.nii", overwrite=force)
    assert files_of(tmp_path) == before
    shutil.rmtree(beside)
    with pytest.raises(TargetExistsError):
        dicomzarr.export(image, tmp_path / "out.nii")
    dicomzarr.export(image, tmp_path / "out.nii", overwrite=True)


def test_a_file_is_done_even_if_what_it_was_made_of_is_only_half_removed(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, out = opened(volume()), tmp_path / "out.ozx"

    def killed(folder: Path) -> None:
        first = next(path for path in sorted(folder.rglob("*")) if path.is_file())
        first.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files_module.shutil, "rmtree", killed)
        with contextlib.suppress(KeyboardInterrupt):
            dicomzarr.export(image, out)
    whole = out.read_bytes()
    with pytest.raises(TargetExistsError):  # as after any export that is done
        dicomzarr.export(image, out)
    out.unlink()
    dicomzarr.export(image, out)
    assert out.read_bytes() == whole


def test_a_region_is_of_images_and_names_an_axis_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(slides.brightfield_pyramid()) as served:
        with pytest.raises(InvalidOptionError, match="associated/thumbnail is another picture"):
            dicomzarr.export(served.url, tmp_path / "a.zarr", images=["associated/thumbnail"], region={"x": (0, 32)})
        assert main(["export", served.url, str(tmp_path / "b.zarr"), "--region", "x=0:9", "--region", "x=9:20"]) == 2
        assert "--region names an axis twice" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_target_in_the_home_is_the_same_place_in_each_format(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for folder in (home, elsewhere):
        folder.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(elsewhere)
    image = opened(volume(AXIAL, RescaleIntercept="0"))
    names = ["ct.zarr", "ct.ozx", "ct.ome.tif", "ct.nii.gz"]
    for name in names:
        dicomzarr.export(image, f"~/{name}")
    image.to_nifti("~/own.nii")
    assert sorted(path.name for path in home.iterdir()) == sorted([*names, "own.nii"])
    assert not list(elsewhere.iterdir())


def test_the_files_that_are_copied_are_spared_in_the_home_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "scan.zarr"
    write(folder, volume(AXIAL).datasets)
    before = files_of(folder)
    with pytest.raises(UsageError, match="files that are copied"):
        dicomzarr.export(folder, "~/scan.zarr", overwrite=True)
    assert files_of(folder) == before
