"""What a plan for frames asks to be done, and is answered with. Pure: a plan sends nothing, and knows no event loop.

A plan is a generator that gives one step after the other, and is sent what each came to; its last value is its result.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from dicomzarr.errors import InvalidReplyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.sources.dicomweb.negotiation.accept import Rung
    from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob
    from dicomzarr.sources.dicomweb.negotiation.instance_key import InstanceKey

_Result = TypeVar("_Result")


class ServerDecodedError(InvalidReplyError):
    """The server decoded a codestream, after which the colour of its pixels cannot be proven any more."""


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """Ask once for frames and deliver what comes; answered with the error it ended with, or None."""

    job: FrameJob
    numbers: Sequence[int]
    """Those of them that are still pending are asked for."""
    rung: Rung
    untried: bool
    """Nothing has come like this yet: a codestream that comes decoded is a `ServerDecodedError`."""


@dataclass(frozen=True, slots=True)
class WholeRequest:
    """Deliver frames out of the whole instance; answered with why it did not come, or with the errors of frames."""

    job: FrameJob
    numbers: Sequence[int]


@dataclass(frozen=True, slots=True)
class Alone:
    """Carry out a plan while no other one is alone with the same instance; answered with its result."""

    key: InstanceKey
    plan: Plan[Any]


Step: TypeAlias = "FrameRequest | WholeRequest | Alone | list[Plan[Any]]"
"""A list of plans is carried out at once, and answered with the list of their results."""

Plan: TypeAlias = Generator[Step, Any, _Result]


def together(plans: list[Plan[_Result]]) -> Plan[list[_Result]]:
    """The results of several plans; one is carried out without more ado: a task costs as much as decoding a tile."""
    found: list[_Result] = [(yield from plans[0])] if len(plans) == 1 else (yield plans)
    return found
