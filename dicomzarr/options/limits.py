"""What is taken from a server or a file, and held of it, at most: all bounds against what must not be, in one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one access; the option ``limits`` changes them by their names."""

    json_bytes: int = 384 * 2**20
    """Bytes of one reply in JSON, decompressed; the metadata of a million placed tiles take most of that."""
    instances: int = 50_000
    """Instances of one series: each costs some kilobytes and half a millisecond before the first pixel."""
    images: int = 5000
    """Images that the instances of one series may become, as they fit no others: each costs a millisecond."""
    instance_objects: int = 100_000
    """JSON objects in the metadata of one instance, but for those that describe its frames; real ones have hundreds."""
    instance_values: int = 1_000_000
    """Values in the metadata of one instance, likewise; tables and vectors of frame times have a hundred thousand."""
    frame_items: int = 2_000_000
    """Frames that the metadata of one instance describe one by one; the largest known have half a million."""
    frame_objects: int = 1_000_000
    """JSON objects in the descriptions of two thousand frames: 500 for each. The option does not change it."""
    lenient_values: int = 5_000_000
    """Values in the metadata of an instance that holds nulls, and so takes more memory. Likewise."""
    search_bytes: int = 32 * 2**20
    """Bytes of one reply to a search, decompressed: 200 results are asked for at a time, of some kilobytes each."""
    search_results: int = 1_000_000
    """Results of one search, all of its pages together."""
    bulk_data_bytes: int = 256 * 2**20
    """Bytes of one value that metadata name; tables and profiles are far smaller, and pixels are not fetched so."""
    frame_bytes: int = 512 * 2**20
    """Bytes of the pixels of one frame; the largest known, of films and cameras, have 300 million."""
    blank_bytes: int = 384 * 2**20
    """Bytes that decoding a frame may take, however short its codestream is: it is blank, or an attack."""
    expansion: int = 500
    """Beyond that, bytes that decoding, or inflating an instance, may take for each byte."""
    block_bytes: int = 128 * 2**20
    """Bytes that the code-blocks and precincts of one JPEG 2000 may take in a decoder, or eight for each sample."""
    block_passes: int = 2**31
    """Samples that the coding passes of one JPEG 2000 may go over, or ``expansion`` for each of its bytes: seconds."""
    decoding_bytes: int = 2**30
    """Bytes that all frames that are being decoded may take together; a larger frame is decoded alone."""
    jpeg_scans: int = 100
    """Scans of one JPEG: real ones have a dozen, and each is a pass over all pixels."""
    jpeg_passes: int = 2**32
    """Samples that the scans of one JPEG of more than twenty scans may pass over together: some seconds."""
    layer_seconds: float = 5.0
    """Seconds of a core that a JPEG XL may take which has, or may have, layers, or has few bytes for its pixels."""
    instance_bytes: int = 32 * 2**30
    """Bytes of one instance, inflated where it is deflated; no known one comes near, and a disk must not be filled."""
    inflated_bytes: int = 512 * 2**20
    """Bytes that a deflated instance may become, however short it is; one of more, ``expansion`` times its own."""
    instances_held: int = 32
    """Whole instances that stay on the temporary disk at most; the least recently used goes first."""
    instance_bytes_held: int = 8 * 2**30
    """Bytes of whole instances that stay there, the newest anyway; each counts as its share of these at least."""
    least_rate: int = 256
    """Bytes a second that a reply has to bring on average, once it has taken twice as long as ``timeout``."""
    reply_seconds: float = 6 * 3600.0
    """Seconds that one reply may be waited for altogether, however fast it comes."""
    header_seconds: float = 300.0
    """Seconds in which a server must begin its answer, whatever it sends meanwhile; ``timeout``, if that is longer."""
    seconds_idle: float = 0.9
    """For which a connection stays open that nobody uses: Orthanc closes such connections after one."""
    refused_seconds: float = 5.0
    """For which credentials that were refused are not sent again: a password sent too often locks its owner out."""


LIMITS: Final = Limits()
"""Those of everybody who asks for no others."""
