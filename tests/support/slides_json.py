"""DICOM JSON of slides too large to be built: metadata alone, as bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import VLWholeSlideMicroscopyImageStorage, generate_uid

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPARSE_TILE = 256
FULL_TILE = 512


def big_sparse_positions(n: int = 50_000, seed: int = 0) -> NDArray[np.int64]:
    """Where the frames of :func:`big_sparse_metadata` lie: (n, 2), tile row and column."""
    side = _sparse_side(n)
    cells = np.random.default_rng(seed).permutation(side * side)[:n]
    return np.stack(np.divmod(cells, side), axis=1)


def big_sparse_metadata(n: int = 50_000, seed: int = 0) -> bytes:
    """Series metadata of one TILED_SPARSE instance of ``n`` frames, a fifth of its grid holes."""
    side = _sparse_side(n) * SPARSE_TILE
    instance = _instance(
        "big sparse",
        1,
        matrix=(side, side),
        tile=SPARSE_TILE,
        frames=n,
        organization="TILED_SPARSE",
    )
    text = json.dumps(instance)
    frames = ",".join(_frame(row, column) for row, column in big_sparse_positions(n, seed).tolist())
    groups = f'"52009230":{{"vr":"SQ","Value":[{frames}]}}'
    return f"[{text[:-1]},{groups}}}]".encode()


def big_full_metadata(tiles: int = 200_000, levels: int = 8) -> bytes:
    """Series metadata of a TILED_FULL pyramid whose finest level has about ``tiles`` tiles."""
    side = round(tiles**0.5) * FULL_TILE
    instances = []
    for level in range(levels):
        size = max(1, side >> level)
        grid = -(-size // FULL_TILE)
        instance = _instance(
            "big full",
            level + 1,
            matrix=(size, size),
            tile=FULL_TILE,
            frames=grid * grid,
            organization="TILED_FULL",
            spacing=0.00025 * side / size,
        )
        instances.append(instance)
    return json.dumps(instances).encode()


def _sparse_side(n: int) -> int:
    return int(np.ceil((n / 0.8) ** 0.5))


def _instance(  # noqa: PLR0913  # one attribute each
    slide: str,
    number: int,
    *,
    matrix: tuple[int, int],
    tile: int,
    frames: int,
    organization: str,
    spacing: float = 0.00025,
) -> dict[str, Any]:
    measures = _json(PixelSpacing=[spacing, spacing], SliceThickness=[0.001])
    uids = {
        "SOPClassUID": [str(VLWholeSlideMicroscopyImageStorage)],
        "SOPInstanceUID": [str(generate_uid(entropy_srcs=[slide, str(number)]))],
        "StudyInstanceUID": [str(generate_uid(entropy_srcs=[slide, "study"]))],
        "SeriesInstanceUID": [str(generate_uid(entropy_srcs=[slide, "series"]))],
        "FrameOfReferenceUID": [str(generate_uid(entropy_srcs=[slide, "frame of reference"]))],
    }
    return _json(
        **uids,
        ImageType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
        if number == 1
        else ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"],
        Modality=["SM"],
        InstanceNumber=[number],
        DimensionOrganizationType=[organization],
        SamplesPerPixel=[3],
        PhotometricInterpretation=["YBR_FULL_422"],
        PlanarConfiguration=[0],
        NumberOfFrames=[frames],
        Rows=[tile],
        Columns=[tile],
        BitsAllocated=[8],
        BitsStored=[8],
        HighBit=[7],
        PixelRepresentation=[0],
        LossyImageCompression=["01"],
        TotalPixelMatrixRows=[matrix[0]],
        TotalPixelMatrixColumns=[matrix[1]],
        TotalPixelMatrixFocalPlanes=[1],
        NumberOfOpticalPaths=[1],
        ImageOrientationSlide=[0, -1, 0, -1, 0, 0],
        TotalPixelMatrixOriginSequence=[
            _json(XOffsetInSlideCoordinateSystem=[20], YOffsetInSlideCoordinateSystem=[40])
        ],
        OpticalPathSequence=[_json(OpticalPathIdentifier=["1"])],
        SharedFunctionalGroupsSequence=[
            _json(
                PixelMeasuresSequence=[measures],
                OpticalPathIdentificationSequence=[_json(OpticalPathIdentifier=["1"])],
            )
        ],
    )


def _frame(row: int, column: int) -> str:
    top, left = row * SPARSE_TILE, column * SPARSE_TILE
    indices = f'"00209157":{{"vr":"UL","Value":[{row + 1},{column + 1}]}}'
    x, y = f"{20 - top * 0.00025:.6f}", f"{40 - left * 0.00025:.6f}"
    position = (
        f'"0040072A":{{"vr":"DS","Value":[{x}]}},"0040073A":{{"vr":"DS","Value":[{y}]}},'
        f'"0040074A":{{"vr":"DS","Value":[0]}},"0048021E":{{"vr":"SL","Value":[{left + 1}]}},'
        f'"0048021F":{{"vr":"SL","Value":[{top + 1}]}}'
    )
    return f'{{"00209111":{{"vr":"SQ","Value":[{{{indices}}}]}},"0048021A":{{"vr":"SQ","Value":[{{{position}}}]}}}}'


def _json(**attributes: list[Any]) -> dict[str, Any]:
    model = {}
    for keyword, value in attributes.items():
        tag = tag_for_keyword(keyword)
        if tag is None:
            raise KeyError(keyword)
        model[f"{tag:08X}"] = {"vr": dictionary_VR(tag), "Value": value}
    return dict(sorted(model.items()))
