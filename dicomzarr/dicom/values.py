"""Leaves of the DICOM JSON model to Python values; the one place that is lenient about spelling."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, Protocol

from dicomzarr.errors import InvalidAttributeError

if TYPE_CHECKING:
    from dicomzarr.dicom.json_model import Leaf, Scalar


_LARGEST_INTEGER: Final = 2**32 - 1
"""Of attributes of VR US, SL, UL and IS (PS3.5 section 6.2)."""

_TERMS: Final = """
    ORIGINAL DERIVED PRIMARY SECONDARY NONE MIXED OTHER NORMAL AXIAL LOCALIZER SCOUT TOPOGRAM REFORMATTED RESAMPLED
    MPR CPR CSA PARALLEL MIP MINIP PROJECTION IMAGE AVERAGE AVG SPI SEQ SPIRAL HELICAL DUAL MONO ENERGY VMI IODINE
    VNC CT BASE REFERENCE VOLUME LABEL OVERVIEW THUMBNAIL STATIC DYNAMIC GATED WHOLE BODY TOMO PROJ RECON EMISSION
    TRANSMISSION ATTENUATION CORRECTED SINGLE BIPLANE PLANE TOMOSYNTHESIS GENERATED 2D 3D SEGMENTATION FRACTIONAL
    BINARY LABELMAP MAGNITUDE PHASE REAL IMAGINARY MAP FFE SE TSE FSE IR TIR GRE GR GE EPI FL TFE TIRM FLAIR ND NORM
    DIS2D DIS3D MOSAIC MFSPLIT FM FS ADC EADC TRACE TRACEW FA COLFA TENSOR B0 CALC BVALUE DIFFUSION DWI DTI ISO
    ISOTROPIC PERFUSION ASL CBF CBV MTT TTP TMAX TIME TO PEAK T1 T2 T2STAR STAR T1W T2W R2 R2STAR RHO PROTON DENSITY
    PD FLOW ENCODED VELOCITY VENC PCA PC MTC SWI TOF MRA ANGIO CINE FMRI SPECTROSCOPY DIXON WATER FAT IN OUT OPP
    OPPOSED IP OP MEAN STD DEVIATION SUB SUM MEDIAN MAXIMUM MINIMUM ADDITION SUBTRACTION MULTIPLICATION DIVISION
    MASKED FILTERED MONOCHROME1 MONOCHROME2 PALETTE COLOR RGB ARGB HSV CMYK YBR FULL PARTIAL 420 422 ICT RCT XYB AR
    ASMT AU BDUS BI BMD CFM CR CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC HD IO IOL IVOCT IVUS KER KO
    LEN LS M3D MG MR NM OAM OCT OPM OPR OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE
    RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF STAIN TEXTUREMAP TG US VA XA
    XAPROTOCOL XC TILED SPARSE TEMPORAL STACK STANDARD BONE LUNG SOFT SHARP SMOOTH DETAIL EDGE
"""
"""Words of defined terms of ImageType, FrameType, Modality and PhotometricInterpretation, and of what vendors add."""

_UID: Final = re.compile(r"[0-9.]+", re.ASCII)

FARTHEST: Final = 1e9
"""Millimetres; what lies a thousand kilometres away is no place, and no step."""

_WORDS: Final = frozenset(_TERMS.split())

_SHORT_WORD: Final = re.compile(r"[A-Z]|[BHIQT][A-Z]?[0-9]{2}[A-Z]?|SOM[0-9]{1,2}|00[0-9A-F]{2}")
"""Letters, as M and P, are words too, Siemens' kernels, as B30F, and so are Siemens' SOM5 and ultrasound's 0011 (PS3.3
section C.8.5.6.1.1)."""


class _Named(Protocol):
    """Builds the error for one attribute of one instance."""

    def __call__(self, name: str, value: object, wanted: str) -> InvalidAttributeError: ...


def invalid_in(instance: str) -> _Named:
    """A maker of errors that name this instance."""

    def build(name: str, value: object, wanted: str) -> InvalidAttributeError:
        return InvalidAttributeError(
            f"Instance {instance}: {name} should be {wanted}, found {_described(value)}.",
            remedy="The series cannot be placed without it.",
        )

    return build


def _described(value: object) -> str:
    """A value as messages may show it: a number, for a text may be anything, somebody's name too."""
    if value is None:
        return "no value"
    if isinstance(value, list):
        return f"{len(value)} values"
    number = _as_number(value)
    return "a text that is no number" if number is None else f"{number:g}"


def shown_code(text: str) -> str:
    """A code string as it may be shown: known words, and OTHER for each unknown one, which may be anybody's name."""
    return re.sub("[^ _]+", lambda word: word[0] if _is_known(word[0].upper()) else "OTHER", text)


def _is_known(word: str) -> bool:
    return word in _WORDS or _SHORT_WORD.fullmatch(word) is not None


class Reader:
    """Reads the leaves of one instance, naming it in errors.

    Args:
        instance: SOP Instance UID for messages.
    """

    def __init__(self, instance: str) -> None:
        self.invalid = invalid_in(instance)
        """Builds the error for an attribute, a value and what was wanted instead."""

    def text(self, leaf: Leaf) -> str | None:
        """The first value as text, or None when there is none."""
        value = _first(leaf)
        return None if value is None else _as_text(value)

    def uid(self, leaf: Leaf) -> str | None:
        """The first value if it is spelled as UIDs are, of digits and dots; no other text passes for one."""
        text = self.text(leaf)
        return text if text is not None and _UID.fullmatch(text) else None

    def texts(self, leaf: Leaf) -> tuple[str, ...]:
        """All values as text; nulls become empty text and keep their place."""
        return tuple("" if value is None else _as_text(value) for value in leaf.values)

    def integer(self, leaf: Leaf, name: str) -> int | None:
        """The first value as an integer, or None when there is none."""
        number = self.number(leaf, name)
        if number is None:
            return None
        if not number.is_integer() or abs(number) > _LARGEST_INTEGER:
            raise self.invalid(name, number, "an integer of 32 bits")
        return int(number)

    def positive(self, leaf: Leaf, name: str, default: int | None = None, most: int = _LARGEST_INTEGER) -> int:
        """The first value as an integer from 1 to ``most``."""
        value = self.integer(leaf, name)
        value = default if value is None else value
        if value is None or not 0 < value <= most:
            raise self.invalid(name, value, f"an integer from 1 to {most}")
        return value

    def count(self, leaf: Leaf, name: str) -> int | None:
        """The first value as an integer above zero, or None when there is none."""
        return None if self.text(leaf) is None else self.positive(leaf, name)

    def lenient_number(self, leaf: Leaf) -> float | None:
        """The first value as a finite number, or None: for what only orders or names things."""
        return self.lenient(_first(leaf))

    def lenient(self, value: Scalar) -> float | None:
        """A value as a finite number, or None, likewise."""
        number = _as_number(value)
        return number if number is not None and math.isfinite(number) else None

    def number(self, leaf: Leaf, name: str) -> float | None:
        """The first value as a finite number, or None when there is none."""
        value = _first(leaf)
        return None if value is None else self.finite(value, name)

    def numbers(self, leaf: Leaf, name: str, count: int) -> tuple[float, ...] | None:
        """Exactly ``count`` finite numbers, or None when there is no value."""
        values = [value for value in leaf.values if value is not None and value != ""]
        if not values:
            return None
        if len(values) != count:
            raise self.invalid(name, values, f"{count} numbers")
        return tuple(self.finite(value, name) for value in values)

    def finite(self, value: Scalar, name: str) -> float:
        """A value as a finite number."""
        number = _as_number(value)
        if number is None:
            raise self.invalid(name, value, "a number")
        if not math.isfinite(number):
            raise self.invalid(name, value, "a finite number")
        return number


def _as_number(value: Any) -> float | None:
    """A number, infinite where it is too large, or None; no error that quotes a text is left in a context."""
    try:
        return float(value.strip(" \0") if isinstance(value, str) else value)
    except OverflowError:
        return math.inf
    except (ValueError, TypeError):
        return None


def _first(leaf: Leaf) -> Scalar:
    """The first value; an absent, null or blank one is None (PS3.18 section F.2.5)."""
    if not leaf.values:
        return None
    value = leaf.values[0]
    return None if isinstance(value, str) and not value.strip() else value


def _as_text(value: Scalar) -> str:
    return str(value).strip().rstrip("\0")
