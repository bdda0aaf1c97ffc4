"""``dicomzarr serve``: an HTTP gateway that shows servers and folders as OME-Zarr; or a DICOMweb server on a folder."""

from __future__ import annotations

import copy
import logging
import os
import signal
import sys
import threading
import webbrowser
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from dicomzarr.errors import UsageError
from dicomzarr.faces.cli import serve_dicomweb, serve_workers
from dicomzarr.faces.cli.connection import target_of
from dicomzarr.faces.gateway.server import ACCESS_LOG, Gateway, Settings, new_token
from dicomzarr.faces.gateway.upstreams import Upstream, names_for
from dicomzarr.options import StorageOptions
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.session.kinds import kind_of

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from dicomzarr.faces.cli.connection import Target
    from dicomzarr.faces.cli.terminal import Terminal

_CREDENTIALS = ("user", "bearer_env", "header", "login", "cert")
_OF_DICOMWEB = frozenset({"dicomweb", "writable", "name", "public_url"})
_OF_BOTH = frozenset({"host", "port", "allow_origin", "quiet", "debug", "upstreams", "token"})
"""The last two are refused with their reason."""

_FILES = 65_536
"""Files and connections that may be open."""


def run(arguments: Namespace, terminal: Terminal) -> None:
    """Serve until interrupted.

    Raises:
        UsageError: An upstream or an option cannot be meant, or it would not be safe.
        DicomZarrError: An upstream's options are impossible.
    """
    _check_all_have_an_effect(arguments)
    if arguments.dicomweb is not None:
        serve_dicomweb.run(arguments, terminal)
        return
    if not arguments.upstreams:
        raise UsageError("There is nothing to serve.", remedy="Name a server or a folder, or --dicomweb FOLDER.")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as a service manager ends it
    _allow_connections()
    upstreams = upstreams_of(arguments)
    settings = settings_of(arguments)
    more, logs = arguments.workers - 1, not arguments.quiet
    if more:
        serve_workers.check_port(settings)
        settings = replace(settings, shares_port=True)
        upstreams = [replace(each, may_keep=False) for each in upstreams]
    with ExitStack() as others:
        if more:
            board = others.enter_context(TemporaryDirectory(prefix="dicomzarr-numbers-", ignore_cleanup_errors=True))
            settings = replace(settings, board=board)
        gateway = others.enter_context(Gateway(upstreams, settings))
        others.enter_context(access_log(logs))
        if more:
            there = replace(settings, port=int(gateway.url.rpartition(":")[2]))
            others.enter_context(serve_workers.workers(more, upstreams, there, access_log, logs=logs))
        first = f"{gateway.url}/" + (f"?token={settings.token}" if settings.token else "")
        # Where it listens is data: a program that starts it reads this line.
        terminal.print_line(first)
        sys.stdout.flush()
        for each in upstreams:
            terminal.note(f"{each.name}: {gateway.url}/0.5/{each.name}/studies/{_remark(each)}")
        terminal.note("Series are read-only here. Ctrl+C ends it.")
        if arguments.open:
            webbrowser.open(first)
        threading.Event().wait()


def _check_all_have_an_effect(arguments: Namespace) -> None:
    """Refuse options of the gateway for a DICOMweb server, and the other way round.

    Raises:
        UsageError: There are some.
    """
    from dicomzarr.faces.cli.parser import build_parser  # noqa: PLC0415  # which imports the commands

    usual = vars(build_parser().parse_args(["serve"]))
    given = {name for name, value in vars(arguments).items() if value != usual.get(name, value)}
    found = given & _OF_DICOMWEB if arguments.dicomweb is None else given - _OF_DICOMWEB - _OF_BOTH
    if found:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(found))
        where = "without" if arguments.dicomweb is None else "with"
        raise UsageError(f"{names} would have no effect {where} --dicomweb.", remedy="Leave it out.")
    if arguments.dicomweb is not None and "*" in arguments.allow_origin:
        raise UsageError("--dicomweb lets no pages of all sites in.", remedy="Name each with --allow-origin.")


def _remark(upstream: Upstream) -> str:
    """What is odd about a folder."""
    if not upstream.is_folder or run_sync(partial(upstream.search, "studies", {}, wanted=1)):
        return ""
    return f"; there is no DICOM in {kind_of(upstream.url).place(upstream.url.base)} yet"


def _allow_connections() -> None:
    """Let as many connections be open as the system lets at most: browsers open six for each viewer."""
    try:
        import resource  # noqa: PLC0415  # not on every system
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def upstreams_of(arguments: Namespace) -> list[Upstream]:
    """The servers and folders that a gateway is to show.

    Raises:
        UsageError: They cannot be meant.
    """
    given = [_named(text) for text in arguments.upstreams]
    targets = [_target(arguments, url) for _, url in given]
    if sum(map(_is_far, targets)) > 1 and any(getattr(arguments, name) for name in _CREDENTIALS):
        # They would be sent to servers that they are not for.
        raise UsageError(
            "Credentials are given, and several servers.", remedy="Give each its own: --auth NAME=env:VARIABLE."
        )
    names = names_for([target.url for target in targets], [name for name, _ in given])
    own = _auths(arguments, names)
    shared = {"labels": not arguments.no_labels, "associated_label": arguments.label_images}
    upstreams = [
        Upstream(name, target.url, {**target.options, **own.get(name, {}), **shared})
        for name, target in zip(names, targets, strict=True)
    ]
    for each in upstreams:
        StorageOptions.parse(**each.options)
        if each.is_folder:  # a server may come later; a path that is wrong stays so
            run_sync(partial(each.search, "studies", {}, wanted=1))
    return upstreams


def settings_of(arguments: Namespace) -> Settings:
    """How the gateway is to listen.

    Raises:
        UsageError: The token is not there.
    """
    token = ""
    if arguments.token is not None:
        token = _token(arguments.token) if arguments.token else new_token()
    return Settings(
        host=arguments.host,
        port=arguments.port,
        origins=frozenset(arguments.allow_origin),
        token=token,
        log_uids=arguments.log_uids,
        phi=arguments.phi,
        pass_through=arguments.pass_through,
    )


def _named(text: str) -> tuple[str | None, str]:
    """``NAME=URL``, or a URL or path alone."""
    name, equals, url = text.partition("=")
    return (name, url) if equals and name.replace("-", "").isalnum() and "/" not in name else (None, text)


def _target(arguments: Namespace, url: str) -> Target:
    own = copy.copy(arguments)
    own.url = url
    target = target_of(own)
    if not _is_far(target):
        for name in ("auth", "headers"):  # a folder of this machine asks for nobody's rights
            target.options.pop(name, None)
    return target


def _is_far(target: Target) -> bool:
    return kind_of(target.url).is_far(target.url.base)


def _auths(arguments: Namespace, names: list[str]) -> dict[str, dict[str, Any]]:
    """Where each upstream's credentials are found, by its name."""
    found: dict[str, dict[str, Any]] = {}
    for text in arguments.auth:
        name, equals, reference = text.partition("=")
        if not equals or name not in names:
            raise UsageError(
                "An --auth names no upstream.", remedy=f"Write NAME=env:VARIABLE; upstreams are {', '.join(names)}."
            )
        found[name] = {"auth": reference}
    return found


def _token(variable: str) -> str:
    token = os.environ.get(variable, "").strip()
    if not token:
        raise UsageError(
            "--token names no environment variable that holds a token.",
            remedy="Write --token alone for a new one, or put yours into a variable and name that.",
        )
    return token


@contextmanager
def access_log(shown: bool) -> Iterator[None]:  # noqa: FBT001  # called in other processes too
    """Show a line for each request, or not."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    before = ACCESS_LOG.level, ACCESS_LOG.propagate
    if shown:
        ACCESS_LOG.addHandler(handler)
        ACCESS_LOG.setLevel(logging.INFO)
        ACCESS_LOG.propagate = False
    try:
        yield
    finally:
        ACCESS_LOG.removeHandler(handler)
        ACCESS_LOG.level, ACCESS_LOG.propagate = before
