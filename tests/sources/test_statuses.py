"""The one table of what statuses and other signs of servers mean."""

from __future__ import annotations

import pytest

from dicomzarr.errors import (
    ConnectionFailedError,
    DicomZarrError,
    FrameNotFoundError,
    HTTPStatusError,
    InvalidReplyError,
    MultipartError,
    QuotaExceededError,
    RateLimitedError,
    RequestTimeoutError,
    ServerFailureError,
    TruncatedReplyError,
    WrongPartsError,
)
from dicomzarr.sources.http.statuses import (
    ConnectionDroppedError,
    Meaning,
    UnreachableError,
    means,
    status_error,
    status_means,
)


@pytest.mark.parametrize(
    ("meaning", "statuses"),
    [
        (Meaning.SUCCESS, {200, 203, 204, 206}),
        (Meaning.PARTIAL, {206}),
        (Meaning.UNCHANGED, {304}),
        (Meaning.REDIRECT, {301, 302, 303, 307, 308}),
        (Meaning.OTHER_CREDENTIALS, {401}),
        (Meaning.OTHER_MEDIA_TYPE, {400, 406, 409, 415, 416, 422}),
        (Meaning.OTHER_MEDIA_TYPE_OF_PIXELS, {400, 406, 409, 415, 416, 422, 500}),
        (Meaning.OTHER_RESOURCE, {400, 404, 405, 406, 409, 415, 416, 422, 500, 501}),
        (Meaning.NO_SUCH_RESOURCE, {404, 405, 501}),
        (Meaning.SMALLER_RESOURCE, {413}),
        (Meaning.TOO_SLOW, {502, 504, 524}),
        (Meaning.SHORTER_LIST, {400, 404, 405, 406, 409, 413, 414, 415, 416, 422, 431, 500, 501}),
        (Meaning.FEWER_REQUESTS, {429, 503, 509, 529}),
        (Meaning.LIMITED, {429}),
        (Meaning.AGAIN, {202, 408, 421, 425, 502, 504, 520, 521, 522, 523, 524, 527, 530}),
        (Meaning.RESTART, {502, 503, 504, 520, 521, 522, 523, 524, 527, 529, 530}),
        (Meaning.MAY_PASS, {500}),
        (Meaning.FAREWELL, {408}),
        (Meaning.NO_ANSWER | Meaning.INCOMPLETE | Meaning.PARTIAL_LIST, set()),
    ],
)
def test_which_statuses_mean_it(meaning: Meaning, statuses: set[int]) -> None:
    assert {status for status in range(100, 600) if status_means(status, meaning)} == statuses


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (
            ConnectionDroppedError(""),
            Meaning.NO_ANSWER | Meaning.SHORTER_LIST | Meaning.AGAIN | Meaning.RESTART | Meaning.MAY_PASS,
        ),
        (UnreachableError(""), Meaning.RESTART),
        (TruncatedReplyError(""), Meaning.AGAIN | Meaning.INCOMPLETE | Meaning.PARTIAL_LIST),
        (
            WrongPartsError(""),
            Meaning.AGAIN | Meaning.INCOMPLETE | Meaning.SHORTER_LIST | Meaning.OTHER_RESOURCE | Meaning.MAY_PASS,
        ),
        (MultipartError(""), Meaning.PARTIAL_LIST | Meaning.OTHER_RESOURCE),
        (InvalidReplyError(""), Meaning.NONE),
        (
            InvalidReplyError("", refuses=True),
            Meaning.OTHER_MEDIA_TYPE_OF_PIXELS | Meaning.OTHER_RESOURCE | Meaning.SHORTER_LIST,
        ),
        (ConnectionFailedError(""), Meaning.NONE),
        (RequestTimeoutError(""), Meaning.NONE),
        (None, Meaning.NONE),
    ],
)
def test_what_other_signs_mean(error: DicomZarrError | None, meaning: Meaning) -> None:
    assert {each for each in Meaning if means(error, each)} == set(meaning)


def test_a_kind_of_error_means_what_the_kind_above_means() -> None:
    class ShorterError(TruncatedReplyError):
        pass

    assert means(ShorterError(""), Meaning.INCOMPLETE)


def test_a_status_is_told_by_its_code_whatever_class_it_was_raised_as() -> None:
    assert means(FrameNotFoundError("", status=404), Meaning.NO_SUCH_RESOURCE)
    assert not means(FrameNotFoundError("", status=410), Meaning.OTHER_RESOURCE)


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (402, {}, HTTPStatusError),
        (599, {}, ServerFailureError),
        (404, {}, FrameNotFoundError),
        (429, {}, RateLimitedError),
        (429, {"content-type": "text/html"}, QuotaExceededError),
        (429, {"content-type": "text/html", "retry-after": "1"}, RateLimitedError),
        (503, {"content-type": "text/html"}, ServerFailureError),
    ],
)
def test_which_error_a_status_is(status: int, headers: dict[str, str], kind: type[HTTPStatusError]) -> None:
    error = status_error(status, headers, "a frame", FrameNotFoundError)
    assert type(error) is kind
    assert error.remedy
