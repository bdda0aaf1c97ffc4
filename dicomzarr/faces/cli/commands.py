"""The commands, and the words that each takes: a new command is a row of ``COMMANDS``."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LARGEST_THUMBNAIL = 8192
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_SERIES = "dicomwebs://HOST/BASE/studies/<Study>/series/<Series>, or the https:// URL that a server shows; or files"


def _add_info(command: argparse.ArgumentParser) -> None:
    command.add_argument("url", metavar="URL", help=_SERIES)
    _add_json(command)
    _add_connection(command)


def _add_ls(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "url",
        metavar="URL",
        help="a DICOMweb server, or a study or series on it; or a folder, file, archive or bucket",
    )
    which = command.add_argument_group("which studies or series")
    which.add_argument("--modality", metavar="SM", help="those of, or with, this modality")
    which.add_argument("--patient-id", metavar="ID", help="studies of this patient")
    which.add_argument("--study-date", metavar="DATE", help="studies of YYYYMMDD or YYYY-MM-DD, or of FROM-TO")
    which.add_argument(
        "--match",
        metavar="ATTRIBUTE=VALUE",
        action="append",
        default=[],
        help="those with this value, by keyword or tag; * and ? stand for any text; repeatable",
    )
    which.add_argument("--limit", metavar="N", type=_whole(1, 100_000), help="at most this many (50)")
    which.add_argument("--offset", metavar="N", type=_whole(0), help="leave out the first ones")
    command.add_argument("--phi", action="store_true", help="show names, IDs, dates and descriptions too")
    _add_json(command)
    _add_connection(command)


def _add_thumbnail(command: argparse.ArgumentParser) -> None:
    command.add_argument("url", metavar="URL", help=_SERIES)
    command.add_argument("output", metavar="PNG", help="the file to write")
    command.add_argument(
        "--size", metavar="PIXELS", type=_whole(1, _LARGEST_THUMBNAIL), default=512, help="of the longer side (512)"
    )
    command.add_argument("--image", metavar="PATH", help="as info lists them: 1, associated/overview")
    _add_force(command)
    _add_connection(command)


def _add_export(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Copies a series to files that you keep. What was interrupted goes on where it was when the same command is "
        "run again; at the end the copy is read again and compared."
    )
    command.add_argument("url", metavar="URL", help=f"{_SERIES}; with --from, the server")
    command.add_argument(
        "output",
        metavar="OUT",
        help="its ending says the format: .zarr (also on s3:// and others of fsspec), .ozx, .ome.tif, .nii or .nii.gz; "
        "with --from, it holds {series}",
    )
    what = command.add_argument_group("what is taken")
    what.add_argument("--levels", metavar="N,N", type=_numbers, help="of each image, 0 the finest (all)")
    what.add_argument(
        "--region",
        metavar="AXIS=START:STOP",
        action="append",
        default=[],
        type=_axis_range,
        help="in indices of level 0, as x=1000:3000; one for each axis",
    )
    what.add_argument("--image", metavar="PATH", action="append", help="as info lists them; repeatable (all)")
    what.add_argument("--labels", action="store_true", help="with segmentations of the series, as labels")
    what.add_argument(
        "--values", metavar="VALUES", choices=("stored", "modality", "color", "suv"), help="see the options"
    )
    what.add_argument(
        "--from", dest="listed", metavar="CSV", help="many series: columns StudyInstanceUID and SeriesInstanceUID"
    )
    what.add_argument("--cluster", metavar="ADDRESS", help="by the workers of this scheduler of dask.distributed")
    how = command.add_argument_group("how it is written")
    how.add_argument("--zarr-format", metavar="N", type=_whole(2, 3), default=3, help="3: OME-Zarr 0.5 (3), 2: 0.4")
    how.add_argument("--compression", metavar="KIND", default="zstd", help="zstd, zstd:LEVEL or none (zstd)")
    how.add_argument("--shard", metavar="N", type=_whole(1), help="N x N chunks in one file")
    how.add_argument("--keep-encoded", action="store_true", help="frames as they came, not decoded")
    how.add_argument("--build-levels", action="store_true", help="go on with halved levels, down to 512 pixels")
    how.add_argument("--absent", metavar="VALUE", type=float, help="fill absent slices with this value")
    _add_force(command)
    _add_connection(command)


def _add_references(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Writes a file by which zarr reads the series out of its files, without dicomzarr and without a copy. Refuses "
        "what the codecs of Zarr would show otherwise than it is."
    )
    command.add_argument("url", metavar="URL", help="a folder, file, archive or bucket; no DICOMweb server")
    command.add_argument("output", metavar="OUT", help="its ending says what is written: .json (Kerchunk) or .icechunk")
    command.add_argument("--levels", metavar="N,N", type=_numbers, help="of each image, 0 the finest (all)")
    command.add_argument("--image", metavar="PATH", action="append", help="as info lists them; repeatable (all)")
    _add_force(command)
    _add_connection(command)


def _numbers(text: str) -> list[int]:
    if not re.fullmatch(r"[0-9]+(,[0-9]+)*", text):
        raise argparse.ArgumentTypeError("write numbers with commas between them, as 0,2")
    return [int(number) for number in text.split(",")]


def _axis_range(text: str) -> tuple[str, tuple[int, int]]:
    found = re.fullmatch(r"([tczyx])=([0-9]+):([0-9]+)", text)
    if found is None:
        raise argparse.ArgumentTypeError("write it as x=1000:3000; axes are t, c, z, y and x")
    return found[1], (int(found[2]), int(found[3]))


def _add_serve(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "upstreams",
        metavar="UPSTREAM",
        nargs="*",
        help="a DICOMweb server's URL, or a folder of DICOM files; NAME=UPSTREAM names its paths",
    )
    folder = command.add_argument_group("a folder by DICOMweb, for viewers such as OHIF and Slim")
    folder.add_argument("--dicomweb", metavar="FOLDER", help="serve this folder or file so, instead of OME-Zarr")
    folder.add_argument("--writable", action="store_true", help="let clients store instances into it")
    folder.add_argument(
        "--name", metavar="NAME", action="append", default=[], help="a name by which others ask for it; repeatable"
    )
    folder.add_argument(
        "--public-url",
        metavar="URL",
        default="",
        help="its root as others reach it through a proxy, as https://pacs.example.org/dicom-web",
    )
    how = command.add_argument_group("how it listens")
    how.add_argument("--port", metavar="PORT", type=_whole(0, 65_535), default=8080, help="0 takes a free one (8080)")
    how.add_argument("--host", metavar="HOST", default="127.0.0.1", help="others than this machine need --token")
    how.add_argument(
        "--allow-origin",
        metavar="ORIGIN",
        action="append",
        default=[],
        type=_origin,
        help="a web site whose pages may read here, as https://vizarr.org; repeatable",
    )
    how.add_argument(
        "--token",
        metavar="VARIABLE",
        nargs="?",
        const="",
        help="ask for a token: a new one, or that in this environment variable",
    )
    how.add_argument(
        "--pass-through",
        action="store_true",
        help="callers send the credentials that the one server asks for, and see what these may see",
    )
    how.add_argument(
        "--workers", metavar="N", type=_whole(1, 64), default=1, help="processes, which share the cache on disk (1)"
    )
    how.add_argument("--open", action="store_true", help="open it in the browser")
    how.add_argument("--quiet", action="store_true", help="write no line for each request")
    how.add_argument("--log-uids", action="store_true", help="write whole paths, with UIDs")
    command.add_argument("--phi", action="store_true", help="let the table of attributes show patient data")
    command.add_argument(
        "--label-images", action="store_true", help="show labels of slides on request, which say who the patient is"
    )
    command.add_argument("--no-labels", action="store_true", help="do not look for segmentations of series")
    command.add_argument(
        "--auth",
        metavar="NAME=REFERENCE",
        action="append",
        default=[],
        help="where one upstream's credentials are: env:TOKEN, env:USER,PASSWORD, netrc, google, aws ...; repeatable",
    )
    _add_connection(command)


def _add_doctor(command: argparse.ArgumentParser) -> None:
    command.add_argument("url", metavar="URL", help="of a server, of a viewer, or whatever you were given")
    _add_json(command)
    _add_connection(command)


def _add_cache(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Shows how much the cache on disk takes (info), or empties it (clear), also under those who use it."
    )
    command.add_argument("action", metavar="info|clear", choices=("info", "clear"), help="look at it, or empty it")
    command.add_argument("--cache-dir", metavar="DIR", help="its directory (the platform's place for caches)")
    _add_json(command)


def _add_demo(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Serves the slide that comes with the package from a DICOMweb server in this process, opens it by URL "
        "like any other, and measures its tissue with dask. Needs no network."
    )
    command.add_argument("--open", action="store_true", help="look at it, a CT, an MR and fluorescence in the browser")
    command.add_argument("--output", metavar="PNG", help="where the thumbnail goes (dicomzarr-demo.png)")
    _add_force(command)


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="one JSON document, for programs")


def _add_force(command: argparse.ArgumentParser) -> None:
    command.add_argument("--force", action="store_true", help="overwrite the file if it exists")


def _add_connection(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("how the server is reached")
    group.add_argument(
        "--user", metavar="NAME", help="the password is read from DICOMZARR_PASSWORD, or asked for on a terminal"
    )
    group.add_argument("--bearer-env", metavar="VARIABLE", help="the environment variable that holds a bearer token")
    group.add_argument(
        "--login",
        metavar="NAME",
        help="google, azure, aws, oauth, netrc, cookies:file=FILE and the like; device: with a code in a browser",
    )
    group.add_argument("--ca", metavar="PEM", help="trust this certificate authority too")
    group.add_argument("--cert", metavar="PEM[,KEY]", help="your own certificate, for servers that want one")
    group.add_argument(
        "--query",
        metavar="NAME=VALUE",
        action="append",
        type=_parameter,
        help="goes with requests of series, as imageSetId; repeatable",
    )
    group.add_argument(
        "--header",
        metavar="'NAME: VALUE'",
        action="append",
        default=[],
        type=_header,
        help="sent with every request; repeatable",
    )
    group.add_argument("--cache-dir", metavar="DIR", help="keep metadata and frames in this directory")
    group.add_argument("--index", metavar="FILE", help="keep what files hold in this file; beside: beside the files")
    group.add_argument("--endpoint-url", metavar="URL", help="the server of s3:// and gs:// buckets")
    group.add_argument("--timeout", metavar="SECONDS", type=float, help="without progress before giving up (60)")
    group.add_argument(
        "--bound",
        metavar="NAME=NUMBER",
        action="append",
        default=[],
        type=_bound,
        help="change a bound against hostile servers, such as instances=100000; repeatable",
    )
    group.add_argument("--insecure", action="store_true", help="send credentials over plain HTTP to other machines")


def _origin(text: str) -> str:
    """As browsers send it (RFC 6454 section 6.2): in lower case, without a default port and a path."""
    found = re.fullmatch(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]+)?/?", text.lower(), re.ASCII)
    if text == "*":
        return text
    if found is None:
        raise argparse.ArgumentTypeError("write SCHEME://HOST or SCHEME://HOST:PORT, as https://vizarr.org")
    scheme, host, port = found.groups(default="")
    return f"{scheme}://{host}{'' if port == _DEFAULT_PORTS.get(scheme) else port}"


def _parameter(text: str) -> str:
    name, equals, _ = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError("write it as NAME=VALUE")
    return text


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError("write it as 'Name: value', in quotes")
    return name.strip(), value.strip()


def _bound(text: str) -> tuple[str, int | float]:
    name, _, number = text.partition("=")
    try:
        return name.strip(), int(number) if number.strip().isdecimal() else float(number)
    except ValueError:
        raise argparse.ArgumentTypeError("write it as NAME=NUMBER") from None


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    wanted = f"a whole number from {least}" + ("" if most is None else f" to {most}")

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or int(text) < least or (most is not None and int(text) > most):
            raise argparse.ArgumentTypeError(f"must be {wanted}")
        return int(text)

    return parse


COMMANDS: Final[dict[str, tuple[str, str, Callable[[argparse.ArgumentParser], None]]]] = {
    "info": (
        "what a series holds: levels, spacing, channels",
        "https://HOST/dicom-web/studies/1.2/series/1.3",
        _add_info,
    ),
    "ls": (
        "the studies of a server, the series of a study, the arrays of a series",
        "https://HOST/dicom-web --modality SM",
        _add_ls,
    ),
    "thumbnail": ("a small PNG of a series", "./folder picture.png", _add_thumbnail),
    "export": (
        "a copy of a series: OME-Zarr, a zip of it, OME-TIFF or NIfTI",
        "https://HOST/dicom-web/studies/1.2/series/1.3 copy.zarr",
        _add_export,
    ),
    "references": (
        "where the frames of a series in files lie, for plain zarr to read",
        "./folder series.json",
        _add_references,
    ),
    "serve": (
        "servers and folders as OME-Zarr over HTTP, for tools of any language",
        "https://HOST/dicom-web ./folder --open",
        _add_serve,
    ),
    "doctor": (
        "what works with a server, what does not, and what can be done about it",
        "https://HOST/dicom-web",
        _add_doctor,
    ),
    "cache": ("what the cache on disk takes, and empty it", "info", _add_cache),
    "demo": ("see it work: a slide, a server and arrays, all in this process", "--open", _add_demo),
}
"""Each command: what it shows, an example of its words, and what adds its options."""
