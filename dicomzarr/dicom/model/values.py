"""Leaves of the DICOM JSON model to Python values; the one place that is lenient about spelling."""

from __future__ import annotations

import math
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeGuard, cast

from dicomzarr.dicom.uids import is_ordinary, is_uid
from dicomzarr.errors import InvalidAttributeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dicomzarr.dicom.model.binary import Scalar
    from dicomzarr.dicom.model.json_model import Leaf
    from dicomzarr.dicom.notices import Notices

Value: TypeAlias = float | str | tuple[float, ...] | None
"""What a frame has of a dimension; None is a value too, as of the gradient direction without diffusion."""

_LARGEST_INTEGER: Final = 2**32 - 1
"""Of attributes of VR US, SL, UL and IS (PS3.5 section 6.2)."""

_TERMS: Final = """
    ORIGINAL DERIVED PRIMARY SECONDARY NONE MIXED OTHER NORMAL AXIAL LOCALIZER SCOUT TOPOGRAM REFORMATTED RESAMPLED
    MPR CPR CSA PARALLEL MIP MINIP PROJECTION IMAGE AVERAGE AVG SPI SEQ SPIRAL HELICAL DUAL MONO ENERGY VMI IODINE
    VNC CT BASE REFERENCE VOLUME LABEL OVERVIEW THUMBNAIL MACRO STATIC DYNAMIC GATED WHOLE BODY TOMO PROJ RECON EMISSION
    DISTORTED SAMPLED
    TRANSMISSION ATTENUATION CORRECTED SINGLE BIPLANE PLANE TOMOSYNTHESIS GENERATED 2D 3D SEGMENTATION FRACTIONAL
    BINARY LABELMAP MAGNITUDE PHASE REAL IMAGINARY MAP FFE SE TSE FSE IR TIR GRE GR GE EPI FL TFE TIRM FLAIR ND NORM
    DIS2D DIS3D MOSAIC VFRAME MFSPLIT FM FS ADC EADC TRACE TRACEW FA COLFA TENSOR B0 CALC BVALUE DIFFUSION DWI DTI ISO
    ISOTROPIC PERFUSION ASL CBF CBV MTT TTP TMAX TIME TO PEAK T1 T2 T2STAR STAR T1W T2W R2 R2STAR RHO PROTON DENSITY
    PD FLOW ENCODED VELOCITY VENC PCA PC MTC SWI TOF MRA ANGIO CINE FMRI SPECTROSCOPY DIXON WATER FAT IN OUT OPP
    OPPOSED IP OP MEAN STD DEVIATION SUB SUM MEDIAN MAXIMUM MINIMUM ADDITION SUBTRACTION MULTIPLICATION DIVISION
    MASKED FILTERED MONOCHROME1 MONOCHROME2 PALETTE COLOR RGB ARGB HSV CMYK YBR FULL PARTIAL 420 422 ICT RCT XYB AR
    ASMT AU BDUS BI BMD CFM CR CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC HD IO IOL IVOCT IVUS KER KO
    LEN LS M3D MG MR NM OAM OCT OPM OPR OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE
    RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF STAIN TEXTUREMAP TG US VA XA
    XAPROTOCOL XC TILED SPARSE TEMPORAL STACK STANDARD BONE LUNG SOFT SHARP SMOOTH DETAIL EDGE
    HFS HFP HFDR HFDL FFS FFP FFDR FFDL AC NAC DECY ATTN SCAT DTIM MOTN PMOT CLN RAN NRMLZ OSEM FBP ITERATIVE FILTER
    BACK ON OFF RESONANCE FREE YES NO PRE POST CONTRAST ROW COL DIRECTIONAL BMATRIX
    TISSUE INTENSITY POWER VARIANCE ELASTICITY
    OD HU US MGML EFF ED EDW MOD PCT CNTS CM2 CM2ML PCNT CPS BQML MGMINML UMOLMINML MLMING MLG 1CM UMOLML PROPCNTS
    PROPCPS MLMINML MLML GML STDDEV GY RELATIVE
    CONTROL ZERO SCAN ARTERIAL PORTAL VENOUS DELAYED EQUILIBRIUM UNENHANCED STIR TAGGING FLUID ATTENUATED STRAIN EP RM
    CALCIUM GADOLINIUM URIC ACID SK SS SP MP OSP TRSS KEV 1H 3HE 7LI 13C 19F 23NA 31P 129XE
"""
"""Words of defined terms of ImageType, FrameType, Modality, PhotometricInterpretation, PatientPosition, CorrectedImage,
Units, ScanningSequence, SequenceVariant, ResonantNucleus, ASLContext and AcquisitionContrast, and of vendors."""

FARTHEST: Final = 1e9
"""Millimetres; what lies a thousand kilometres away is no place, and no step."""

_DIGITS: Final = 32
"""Of a digest that stands for a UID."""

_SHOWN: Final = 6
"""Numbers of one attribute that a notice shows."""

_WORDS: Final = frozenset(_TERMS.split())

_SHORT_WORD: Final = re.compile(r"[A-Z]|[0-9]{1,3}|[BHIQT][A-Z]?[0-9]{2}[A-Z]?|SOM[0-9]{1,2}|00[0-9A-F]{2}")
"""Letters, as M and P, are words too, numbers as of keV, Siemens' kernels, as B30F, and so are Siemens' SOM5 and
ultrasound's 0011 (PS3.3 section C.8.5.6.1.1)."""


def _described(value: object) -> str:
    """A value as messages may show it: a number, for a text may be anything, somebody's name too."""
    if value is None:
        return "no value"
    if isinstance(value, list | tuple):
        return f"{len(value)} values"
    number = _as_number(value)
    return "a text that is no number" if number is None else f"{number:g}"


def _listed(values: Sequence[Scalar]) -> str:
    """Several values, likewise."""
    numbers = [number for value in values if (number := _as_number(value)) is not None]
    if len(numbers) < len(values):
        return f"{len(values)} values, of which {len(numbers)} are numbers"
    return ", ".join(f"{number:g}" for number in numbers) if len(numbers) <= _SHOWN else f"{len(numbers)} numbers"


def shown_code(text: str) -> str:
    """A code string as it may be shown: known words, and OTHER for each unknown one, which may be anybody's name."""
    return re.sub("[^ _]+", lambda word: word[0] if _is_known(word[0].upper()) else "OTHER", text)


def _is_known(word: str) -> bool:
    return word in _WORDS or _SHORT_WORD.fullmatch(word) is not None


def is_count(number: float) -> bool:
    """Whether it is a whole number of something that is there."""
    return number.is_integer() and 0 < number <= _LARGEST_INTEGER


def is_right_angled(cosines: Sequence[float], tolerance: float) -> bool:
    """Whether six numbers are two unit vectors at a right angle, as far as headers round."""
    row, column = cosines[:3], cosines[3:]
    off = (_product(row, row) - 1, _product(column, column) - 1, _product(row, column))
    return all(abs(each) <= tolerance for each in off)


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


class AttributeReader:
    """Reads the leaves of one instance, naming it in errors and notices.

    What decoding and the places of tiles depend on is read by methods that raise. A `fact` is anything else: an
    impossible one is left out as if it were absent, which is noticed, and the series opens.

    Args:
        instance: SOP Instance UID for messages.
        notices: Takes what is said of impossible facts.
    """

    def __init__(self, instance: str, notices: Notices | None = None) -> None:
        self._instance = instance
        self._notices = notices

    def invalid(self, name: str, value: object, wanted: str) -> InvalidAttributeError:
        """The error for an attribute, what it holds, and what was wanted instead."""
        return InvalidAttributeError(
            f"Instance {self._instance}: {name} should be {wanted}, found {_described(value)}.",
            remedy="The series cannot be placed without it.",
        )

    def fact(self, leaf: Leaf, name: str, possible: Callable[[float], bool], lost: str) -> float | None:
        """The first value as a finite number; None where there is none or an impossible one.

        Args:
            leaf: The attribute.
            name: Its keyword.
            possible: Whether a finite number can be its value.
            lost: What follows where it cannot, in words, as ``the size of pixels is not known``.
        """
        value = _first(leaf)
        number = None if value is None else self.lenient(value)
        if value is None or (number is not None and possible(number)):
            return number
        self.leave_out(name, [value], lost)
        return None

    def facts(
        self, leaf: Leaf, name: str, count: int, possible: Callable[[Sequence[float]], bool], lost: str
    ) -> tuple[float, ...] | None:
        """Exactly ``count`` finite numbers, likewise; ``possible`` is asked about all of them."""
        if _are_finite(leaf.values) and len(leaf.values) == count and possible(leaf.values):
            return leaf.values
        values = [value for value in leaf.values if not _is_blank(value)]
        if not values:
            return None
        numbers = [number for value in values if (number := self.lenient(value)) is not None]
        if len(values) == len(numbers) == count and possible(numbers):
            return tuple(numbers)
        self.leave_out(name, values, lost)
        return None

    def leave_out(self, name: str, values: Sequence[Scalar], lost: str) -> None:
        """Notice that a fact is impossible.

        Args:
            name: The keyword of the attribute.
            values: What it holds; texts are not shown, since they may be anything, somebody's name too.
            lost: As for `fact`.
        """
        if self._notices is not None:
            shown = _described(values[0]) if len(values) == 1 else _listed(values)
            self._notices.add(self._instance, f"{name} is impossible and was left out: {lost}.", shown)

    def remark(self, sentence: str) -> None:
        """Notice what is odd about the instance, in a sentence that any instance could have."""
        if self._notices is not None:
            self._notices.add(self._instance, sentence)

    def text(self, leaf: Leaf) -> str | None:
        """The first value as text, or None when there is none."""
        value = _first(leaf)
        return None if value is None else _as_text(value)

    def uid(self, leaf: Leaf) -> str | None:
        """The first value if it is spelled as UIDs are, of digits and dots; no other text passes for one."""
        text = self.text(leaf)
        return text if text is not None and is_ordinary(text) else None

    def address(self, leaf: Leaf) -> str | None:
        """The first value if the server can be asked for it: the UID of a study, series or instance."""
        text = self.text(leaf)
        return text if text is not None and is_uid(text) else None

    def identity(self, leaf: Leaf) -> str | None:
        """The first value, for what is only compared; a digest of any text that is no UID, so that none is shown."""
        text = self.text(leaf)
        if text is None or is_ordinary(text):
            return text
        return sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGITS]

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

    def lenient_number(self, leaf: Leaf) -> float | None:
        """The first value as a finite number, or None: for what only orders or names things."""
        return self.lenient(_first(leaf))

    def lenient(self, value: Scalar) -> float | None:
        """A value as a finite number, or None, likewise."""
        number = value if type(value) is float else _as_number(value)
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


def _are_finite(values: Sequence[Scalar]) -> TypeGuard[tuple[float, ...]]:
    """Whether all are finite floating-point numbers, as most are of which many are read."""
    return set(map(type, values)) == {float} and all(map(math.isfinite, cast("Sequence[float]", values)))


def _first(leaf: Leaf) -> Scalar:
    """The first value; an absent, null or blank one is None (PS3.18 section F.2.5)."""
    if not leaf.values:
        return None
    value = leaf.values[0]
    return None if _is_blank(value) else value


def is_given(leaf: Leaf) -> bool:
    """Whether an attribute has a value, possible or not."""
    return _first(leaf) is not None


def _is_blank(value: Scalar) -> bool:
    return value is None or (isinstance(value, str) and not value.strip(" \0"))


def _as_text(value: Scalar) -> str:
    return str(value).strip().rstrip("\0")
