"""The exceptions of dicomzarr, one tree.

```
DicomZarrError
├── UsageError                      what was asked cannot be meant
│   ├── InvalidURLError
│   │   └── SeveralSeriesError      what was named holds more than one; carries ``choices``
│   ├── InvalidOptionError
│   ├── InsecureTransportError      credentials would travel over plain HTTP
│   ├── CredentialsUnavailableError credentials did not travel with a pickle
│   ├── MissingPackageError         a package that is an extra is not installed; an ImportError too
│   ├── ReadOnlyError
│   ├── TargetExistsError           something is where an export would write
│   └── EventLoopError              a synchronous call on the loop that must serve it
├── ServerError                     the server did not give what it should
│   ├── ConnectionFailedError       refused, reset, TLS, name not found
│   ├── RequestTimeoutError
│   ├── HTTPStatusError             any other status; carries ``status``
│   │   ├── AuthenticationError     401
│   │   ├── PermissionDeniedError   403
│   │   ├── NotFoundError           404, 410
│   │   │   ├── StudyNotFoundError
│   │   │   ├── SeriesNotFoundError
│   │   │   └── FrameNotFoundError
│   │   ├── NegotiationError        406, 415, or no Accept header that served
│   │   ├── RateLimitedError        429; carries ``retry_after`` in seconds
│   │   │   └── QuotaExceededError  429 for a quota, that is used up for hours
│   │   └── ServerFailureError      5xx
│   └── InvalidReplyError           a success status around something else
│       ├── LoginPageError          HTML instead of DICOM
│       ├── TruncatedReplyError     ended early
│       ├── MultipartError          malformed multipart
│       └── WrongPartsError         parts missing, doubled, or not those asked for
├── FileError                       a file or folder is not what it should be
│   ├── MissingFileError            no such file or folder, or no such series in it
│   ├── UnreadableFileError         the operating system does not let it be read
│   ├── ChangedFileError            another size or date than when its folder was looked through
│   └── InvalidFileError            no DICOM, or broken
│       └── TruncatedFileError      ended early
├── MetadataError                   DICOM metadata that cannot be placed
│   ├── InvalidAttributeError       one attribute has an impossible value
│   ├── UnsupportedSeriesError      nothing in the series is an image that can be opened
│   ├── GridError                   a segmentation that is no label
│   └── TilingError                 tiles of an associated image that fit no chunk grid
├── SeriesChangedError              the series is no more what it was when it was opened
├── TemporaryFileError              the temporary disk did not take a whole instance
├── TargetError                     what is exported could not be written, or not be read again
│   └── VerificationError           it was read again, and is not what was written
└── FrameError                      one frame; its text names study, series, instance and frame
    ├── UnsupportedTransferSyntaxError  carries ``uid``
    ├── FrameDecodeError            the codestream is broken
    ├── FrameShapeError             decoded, but not the shape or depth the metadata says
    ├── FrameTooLargeError          the metadata claim more than the limit ``frame_bytes``
    ├── ContradictingHeaderError    the file's own header says something else than the metadata
    └── MissingInstanceError        the metadata points to an instance that the series lacks
```

Warnings, which are no errors: ``ServerDecodedWarning``, ``GuessWarning``, ``LossyFrameWarning``,
``OtherSeriesWarning``, ``LeftOutWarning``, ``UpsampledWarning`` and ``DiskCacheWarning``.

None derives from ``OSError`` or ``KeyError``: array libraries take those for absence and would fill in values.
Messages never hold a token, a password or patient text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class DicomZarrError(Exception):
    """Base of all errors of dicomzarr.

    Args:
        message: What was asked and what was found.
        remedy: What the reader can do about it; empty when there is nothing to say.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        message = str(self.args[0]) if self.args else ""
        text = f"{message} {self.remedy}" if self.remedy else message
        return text.encode("utf-8", "backslashreplace").decode()  # the name of a file need be no text

    def name_subject(self, subject: str) -> None:
        """Add what was asked to the message, unless it is there: for where whoever raised this could not know.

        Args:
            subject: In words, as ``frame 3 of instance 1.2.3``.
        """
        message = str(self.args[0]) if self.args else ""
        if subject not in message:
            self.args = (f"{message.removesuffix('.')}; asked for {subject}.",)


class UsageError(DicomZarrError):
    """What was asked cannot be meant."""


class InvalidURLError(UsageError):
    """The URL names no DICOMweb study, series or key."""


class SeveralSeriesError(InvalidURLError):
    """Files or a study hold several series, and none is named.

    Args:
        message: As for every error.
        choices: Each series in a line, its URL first; the first 20 are kept.
    """

    _MOST = 20

    def __init__(self, message: str, choices: Sequence[str] = ()) -> None:
        super().__init__(message)
        left = len(choices) - self._MOST
        self.choices = (*choices[: self._MOST], *([f"and {left} more"] if left > 0 else []))

    def __str__(self) -> str:
        return "\n  ".join((super().__str__(), *self.choices))


class InvalidOptionError(UsageError):
    """A storage option is unknown or has an impossible value."""


class InsecureTransportError(UsageError):
    """Credentials would travel over plain HTTP to another machine."""


class CredentialsUnavailableError(UsageError):
    """The credentials of a pickled object stayed, on purpose, in the process that made it."""


class MissingPackageError(UsageError, ImportError):
    """What was asked needs a package that is an extra, and is not installed."""


class ReadOnlyError(UsageError):
    """A DICOMweb series cannot be written to through its Zarr view."""


class TargetExistsError(UsageError):
    """Something is where an export would write, and is no beginning of it."""


class EventLoopError(UsageError):
    """A synchronous call was made on the event loop that would have to serve it, or in a function that a read calls."""


class ServerError(DicomZarrError):
    """The server did not give what it should."""


class ConnectionFailedError(ServerError):
    """No connection, or it broke: refused, reset, TLS, name not found."""


class RequestTimeoutError(ServerError):
    """No answer within the time that the ``timeout`` option gives."""


class HTTPStatusError(ServerError):
    """An HTTP status other than success.

    Args:
        message: As for every error.
        remedy: As for every error.
        status: The HTTP status code.
        retry_after: Seconds the server asks to wait, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        status: int = 0,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        self.retry_after = retry_after
        self.challenge = ""
        """The reply's WWW-Authenticate header, for providers; empty in what is raised: it may quote what was sent."""
        self.redirected_to = ""
        """The URL that answered, where a redirect led to another host, port or scheme."""
        self.refused = ""
        """Whose credentials the request carried, in words, where they do not suffice; never the credentials."""


class AuthenticationError(HTTPStatusError):
    """401: credentials are missing, wrong or expired."""


class PermissionDeniedError(HTTPStatusError):
    """403: the credentials are known but not allowed to read this."""


class NotFoundError(HTTPStatusError):
    """404 or 410: the server says that it does not exist."""


class StudyNotFoundError(NotFoundError):
    """The server has no such study."""


class SeriesNotFoundError(NotFoundError):
    """The server has no such series."""


class FrameNotFoundError(NotFoundError):
    """The server denies a frame that its own metadata promised."""


class NegotiationError(HTTPStatusError):
    """The server accepts none of the media types that we can read."""


class RateLimitedError(HTTPStatusError):
    """429: too many requests."""


class QuotaExceededError(RateLimitedError):
    """429 that speaks of a quota, with no time to wait: it is used up, and trying again soon is no use."""


class ServerFailureError(HTTPStatusError):
    """5xx: the server failed."""


class InvalidReplyError(ServerError):
    """A success status around something that was not asked for.

    Args:
        message: As for every error.
        remedy: As for every error.
        refuses: What came is whole, and of another kind: the server has nothing better to offer there.
    """

    def __init__(self, message: str, *, remedy: str = "", refuses: bool = False) -> None:
        super().__init__(message, remedy=remedy)
        self.refuses = refuses


class LoginPageError(InvalidReplyError):
    """An HTML page, most likely a login form, instead of DICOM."""


class TruncatedReplyError(InvalidReplyError):
    """The reply ended before it was complete."""


class MultipartError(InvalidReplyError):
    """The reply is no well-formed multipart body (RFC 2046 section 5.1)."""


class WrongPartsError(InvalidReplyError):
    """Parts are missing, doubled, or not those that were asked for."""


class FileError(DicomZarrError):
    """A file or folder is not what it should be."""


class MissingFileError(FileError):
    """There is no such file or folder, or no such series in it."""


class UnreadableFileError(FileError):
    """The operating system does not let a file be read."""


class ChangedFileError(FileError):
    """A file has another size or date than when its folder was looked through: its frames may be others."""


class InvalidFileError(FileError):
    """A file is no DICOM Part-10 file, or is broken."""


class TruncatedFileError(InvalidFileError):
    """A DICOM file ended before it was complete."""


class MetadataError(DicomZarrError):
    """DICOM metadata that cannot be placed."""


class InvalidAttributeError(MetadataError):
    """A DICOM attribute that decoding or placing depends on is missing or has an impossible value."""


class UnsupportedSeriesError(MetadataError):
    """Nothing in the series is an image that can be opened."""


class GridError(MetadataError):
    """A segmentation is no label: two of its frames show one segment at one place."""


class TilingError(MetadataError):
    """Tiles of a label, overview or thumbnail that fit no chunk grid: a notice says so, and the image is left out.

    What belongs to the slide itself opens as a list of tiles.
    """


class SeriesChangedError(DicomZarrError):
    """The series on the server is no more what it was when it was opened: its cells would hold other frames or values.

    Other frames, in another order or place, with other bits, another sign or colour; and other rescaling or tables,
    where values were made by these. What else is said of a series may change, and so may the order of a reply.
    """


class TemporaryFileError(DicomZarrError):
    """The temporary disk did not take a whole instance: it is full, or must not be written to."""


class TargetError(DicomZarrError):
    """What is exported could not be written, or not be read again: a full disk, no permission, a store that refused."""


class VerificationError(TargetError):
    """What was exported was read again, and is not what was written."""


class FrameError(DicomZarrError):
    """One frame cannot be had; the text names study, series, instance and frame."""


class UnsupportedTransferSyntaxError(FrameError):
    """The frame's transfer syntax cannot be decoded.

    Args:
        message: As for every error.
        remedy: As for every error.
        uid: The transfer syntax UID.
    """

    def __init__(self, message: str, *, remedy: str = "", uid: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.uid = uid


class FrameDecodeError(FrameError):
    """The codestream of the frame is broken."""


class FrameShapeError(FrameError):
    """The frame decodes to another shape or depth than the metadata says."""


class FrameTooLargeError(FrameError):
    """The metadata claim a frame that is larger than the limit ``frame_bytes``."""


class ContradictingHeaderError(FrameError):
    """The file that a frame comes from says something else than the metadata, in what decoding depends on."""


class MissingInstanceError(FrameError):
    """The metadata points to an instance that the series does not hold, as a lost part of a concatenation."""


class ServerDecodedWarning(UserWarning):
    """The server decoded a compressed colour image itself, so its colour can no longer be proven."""


class GuessWarning(UserWarning):
    """Frames lie where others do, and nothing tells which belongs there: what is shown was guessed."""


class LossyFrameWarning(UserWarning):
    """The metadata say that nothing was lost, and the server sends lossily compressed frames."""


class OtherSeriesWarning(UserWarning):
    """A file names another study or series than the one that it was asked for from, as after studies were merged."""


class LeftOutWarning(UserWarning):
    """A file or picture lacks what others have, or what the series holds: b-vectors, or an optical path, say."""


class UpsampledWarning(UserWarning):
    """A region of a slide was asked for at a finer resolution than the slide has; values are interpolated."""


class DiskCacheWarning(UserWarning):
    """The cache on disk was damaged, or cannot be used; reading goes on without it."""
