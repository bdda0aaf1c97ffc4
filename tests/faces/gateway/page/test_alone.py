"""No request leaves the machine: browsers and servers of these tests have no network that would take one."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest
from loopback import ELSEWHERE, is_alone

if TYPE_CHECKING:
    from page_looks import Look

pytestmark = pytest.mark.browser


@pytest.fixture
def alone(network: str) -> None:
    if network:
        if os.environ.get("CI"):
            pytest.fail(f"The browser is in the network: {network}.")
        pytest.skip(f"The log of requests alone tells that none leaves: {network}.")


@pytest.mark.usefixtures("alone")
def test_there_is_nothing_but_this_machine(look: Look) -> None:
    assert is_alone()
    with pytest.raises(OSError, match="unreachable"):
        socket.create_connection(ELSEWHERE, timeout=5)
    look.go("/")  # and yet the page is there


@pytest.mark.usefixtures("alone")
def test_the_browser_itself_reaches_nobody_else(look: Look) -> None:
    page = look.page
    answer = page.goto(f"{look.base}/healthz")
    assert answer is not None
    assert answer.ok
    with pytest.raises(Exception, match=r"ERR_(INTERNET_DISCONNECTED|ADDRESS_UNREACHABLE|NETWORK)"):
        page.goto(f"http://{ELSEWHERE[0]}/")
    look.said.clear()  # it was asked for on purpose
