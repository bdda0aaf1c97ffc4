"""Changes to bytes and to JSON that make good input bad, as servers, disks and attackers do."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

MARK: Final = "Zqx^Hidden"
"""A text that stands for a patient's: it may come out nowhere."""

NUMBERS: Final[tuple[Any, ...]] = (
    *(0, 1, -1, 2, 3, 7, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -(2**31), 2**53 + 1, 2**63, 2**64, 10**400),
    *(0.0, -0.0, 0.5, 1e-300, -1e-300, 1e-9, 1e9, 1e300, -1e300, 1.7976931348623157e308, 5e-324),
)
TEXTS: Final[tuple[Any, ...]] = (
    *("", " ", "0", "1", "-1", "15 ", " 7", "+3", "1.5", "1e2", "1E-3", "NaN", "nan", "inf", "-Infinity", "1e999"),
    *("1_0", "0x10", "\u0661\u0662", "1\\2", "\0", "YES", "A" * 100, "\xe9", MARK, MARK),
)
OTHERS: Final[tuple[Any, ...]] = (None, True, False, [], {}, [None], [[1]], {"Alphabetic": MARK}, {"Value": [1]})
URIS: Final = ("http://elsewhere.example/bulk", "../bulk/1", "", "file:///etc/passwd")

_COUNTS: Final = (0, 1, 1, 2, 3, 6)
"""Of values in an attribute."""
_NEST: Final = "lists or sequences in one another"
_DEEP: Final = 3000
_MANY: Final = "very many values"
_COUNT: Final = 100_000


def mutate_bytes(random: Random, data: bytes, donors: Sequence[bytes]) -> bytes:
    """Bytes with one to a few changes."""
    changed = bytearray(data)
    for _ in range(1 + int(random.expovariate(0.7))):
        _change_bytes(random, changed, donors)
    return bytes(changed)


def _change_bytes(random: Random, data: bytearray, donors: Sequence[bytes]) -> None:
    # Headers decide most: half of the changes are near the beginning.
    at = random.randrange(1 + min(len(data), random.choice((64, len(data)))))
    size = min(len(data) - at, 1 + int(random.expovariate(0.3)))
    donor = random.choice(donors)
    start = random.randrange(len(donor) + 1)
    few, many = random.randrange(64), random.randrange(512)
    marks = (b"\0\0", b"\xff\xff", b"\x7f\xff", b"\0\1", b"\xff\xd9", b"\xff\xda")
    old, new = random.choice(
        (
            (1, bytes(byte ^ 1 << random.randrange(8) for byte in data[at : at + 1])),
            (1, random.choice((b"\0", b"\1", b"\x7f", b"\x80", b"\xfe", b"\xff"))),
            (2, random.choice(marks)),
            (size, random.randbytes(size)),
            (size, b""),
            (0, random.randbytes(size)),
            (len(data), b""),
            (few, donor[start : start + many]),
            (0, bytes(data[at : at + many])),
        )
    )
    data[at : at + old] = new


class Place(NamedTuple):
    """Something in a document."""

    holder: Any
    """A list or an object."""
    name: Any
    """An index or a name in it."""

    @property
    def value(self) -> Any:
        """What is there."""
        return self.holder[self.name]

    def put(self, value: Any) -> None:
        """Put something else there."""
        self.holder[self.name] = value


def mutate_json(random: Random, tree: Any, donors: Sequence[Any]) -> Any:
    """A JSON document with one to a few changes; of DICOM attributes mostly."""
    changed = copy.deepcopy(tree)
    for _ in range(1 + int(random.expovariate(0.5))):
        places = list(_found(changed))
        if places:
            change = random.choices(list(_CHANGES), list(_CHANGES.values()))[0]
            change(random, random.choice(places), places, donors)
    return changed


def _found(value: Any) -> Iterator[Place]:
    """Everything that has a place in a document."""
    if isinstance(value, dict | list):
        for name in list(value) if isinstance(value, dict) else range(len(value)):
            yield Place(value, name)
            yield from _found(value[name])


Places = list[Place]
Donors = list[Any]


def _remove(_random: Random, place: Place, _places: Places, _donors: Donors) -> None:
    del place.holder[place.name]


def _replace(random: Random, place: Place, _places: Places, _donors: Donors) -> None:
    """Another value, mostly of the same form: a list stays a list."""
    value = place.value
    values = [_value(random) for _ in range(random.choice(_COUNTS))]
    if isinstance(value, list) and random.random() < 0.8:
        place.put(values)
    elif isinstance(value, dict) and random.random() < 0.8:
        place.put({**value, "Value": values})
    else:
        place.put(_value(random))


def _vary(random: Random, place: Place, _places: Places, _donors: Donors) -> None:
    """A number that is a little different, or spelled in another way."""
    value = place.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        written = f"{max(-1e300, min(value, 1e300)):e}"  # integers may be larger than any float
        place.put(random.choice((str(value), f" {value} ", written, -value, value + 1, value - 1, value * 2)))


def _agree(random: Random, place: Place, places: Places, _donors: Donors) -> None:
    """One attribute in all instances and items: a series that agrees on nonsense."""
    values = [_value(random)] * random.choice(_COUNTS)
    for other in places:
        if other.name == place.name and isinstance(other.holder.get(place.name) if _is_object(other) else None, dict):
            other.put({**other.value, "Value": values})


def _is_object(place: Place) -> bool:
    return isinstance(place.holder, dict)


def _copy(random: Random, place: Place, places: Places, _donors: Donors) -> None:
    """What is somewhere else in the document."""
    place.put(copy.deepcopy(random.choice(places).value))


def _double(random: Random, place: Place, _places: Places, _donors: Donors) -> None:
    if isinstance(place.holder, list):
        place.holder.insert(place.name, copy.deepcopy(random.choice(place.holder)))


def _shuffle(random: Random, place: Place, _places: Places, _donors: Donors) -> None:
    if isinstance(place.holder, list):
        random.shuffle(place.holder)


def _borrow(random: Random, place: Place, _places: Places, donors: Donors) -> None:
    """What another series has under the same name, or under any."""
    found = list(_found(random.choice(donors)))
    same = [other for other in found if other.name == place.name]
    other = random.choice(same if same and random.random() < 0.5 else found)
    if _is_object(place) and isinstance(other.name, str):
        place.holder[other.name] = copy.deepcopy(other.value)
    else:
        place.put(copy.deepcopy(other.value))


def _spell(random: Random, place: Place, _places: Places, _donors: Donors) -> None:
    """An attribute under another name, or with its value in another way."""
    if not _is_object(place) or not isinstance(place.value, dict):
        return
    value = place.value
    other = {name: member for name, member in value.items() if name != "Value"}
    match random.randrange(5):
        case 0:
            place.holder[place.name.lower()] = place.holder.pop(place.name)
        case 1:
            value.pop("vr", None)
        case 2:
            place.put({**other, "InlineBinary": random.choice(("AAECAw==", "A", "\xe9", "", MARK))})
        case 3:
            place.put({**other, "BulkDataURI": random.choice(URIS)})
        case _:
            place.holder[f"{random.randrange(2**32):08X}"] = place.holder.pop(place.name)


def _retype(random: Random, place: Place, _places: Places, _donors: Donors) -> None:
    """The values of an attribute as those of another kind: text for numbers, items for text, flat for nested."""
    if not isinstance(place.value, dict) or not isinstance(values := place.value.get("Value"), list):
        return
    kinds: tuple[Any, ...] = (
        str,
        lambda each: [each],
        lambda each: {"00080100": {"vr": "SH", "Value": [each]}},
        lambda each: {"Alphabetic": each},
        lambda each: next(iter(each.values()), None) if isinstance(each, dict) else None,
        lambda each: random.choice(NUMBERS),  # noqa: ARG005  # as the others are called
    )
    change = random.choice(kinds)
    place.put({**place.value, "Value": list(map(change, values))})


def _flood(random: Random, place: Place, _places: Places, _donors: Donors) -> None:
    """More values than anybody needs."""
    if isinstance(place.value, list) and place.value:
        place.put(_MANY)
        place.holder.setdefault("vr", random.choice(("DS", "SQ", "UI"))) if _is_object(place) else None


def _nest(_random: Random, place: Place, _places: Places, _donors: Donors) -> None:
    place.put(_NEST)


_CHANGES: Final = {
    _remove: 2,
    _replace: 6,
    _vary: 4,
    _agree: 2,
    _copy: 1,
    _double: 2,
    _shuffle: 1,
    _borrow: 2,
    _spell: 2,
    _nest: 0.1,
    _retype: 3,
    _flood: 0.02,
}
"""How often each is made, in proportion."""


def _value(random: Random) -> Any:
    return copy.deepcopy(random.choice(random.choices((NUMBERS, TEXTS, OTHERS), (8, 6, 1))[0]))


def spelled(random: Random, tree: Any) -> bytes:
    """A document as text, with what Python cannot write itself."""
    text = json.dumps(tree)
    if _MANY in text:
        value = random.choice(("1", '"1.5"', "{}", "[]", "null", '{"00080018":{"Value":["1"]}}'))
        text = text.replace(f'"{_MANY}"', f"[{','.join([value] * _COUNT)}]")
    if _NEST in text:
        opening, closing = random.choice((("[", "]"), ('{"Value":[', "]}"), ('[{"0040A730":{"Value":', "}}]")))
        depth = random.randrange(_DEEP)
        text = text.replace(f'"{_NEST}"', f"{opening * depth}1{closing * depth}")
    return text.encode()
