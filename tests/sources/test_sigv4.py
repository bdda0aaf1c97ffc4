"""Signatures of AWS, compared with botocore's and with the examples of AWS's documentation."""

from __future__ import annotations

import random
import string
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from dicomzarr.sources.http.credentials.sigv4 import EMPTY, Keys, Scope, signed

if TYPE_CHECKING:
    from collections.abc import Mapping

S3_KEYS = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
IAM_KEYS = Keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
S3_MOMENT = datetime(2013, 5, 24, tzinfo=UTC)
S3_BUCKET = "https://examplebucket.s3.amazonaws.com"
PUT = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"


@pytest.mark.parametrize(
    ("method", "path", "headers", "body_hash", "signature"),
    [
        (
            "GET",
            "/test.txt",
            {"Range": "bytes=0-9"},
            EMPTY,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test$file.text",
            {"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            PUT,
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        ("GET", "/?lifecycle", {}, EMPTY, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        (
            "GET",
            "/?max-keys=2&prefix=J",
            {},
            EMPTY,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
    ids=["GET Object", "PUT Object", "GET Bucket Lifecycle", "Get Bucket (List Objects)"],
)
def test_the_examples_of_s3(method: str, path: str, headers: Mapping[str, str], body_hash: str, signature: str) -> None:
    found = signed(method, S3_BUCKET + path, headers, S3_KEYS, Scope("us-east-1", "s3"), S3_MOMENT, body_hash)
    assert found["authorization"].endswith(f"Signature={signature}")
    assert found["x-amz-date"] == "20130524T000000Z"
    assert "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request" in found["authorization"]


IAM = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"


def test_the_example_of_iam() -> None:
    found = signed(
        "GET",
        "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
        {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
        IAM_KEYS,
        Scope("us-east-1", "iam"),
        datetime(2015, 8, 30, 12, 36, tzinfo=UTC),
    )
    assert found["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
        f"SignedHeaders=content-type;host;x-amz-date, Signature={IAM}"
    )


SUITE = {
    "get-vanilla": ("/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    "get-vanilla-query-order-key-case": (
        "/?Param2=value2&Param1=value1",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "get-relative": ("/example/..", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    "get-slash": ("//", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
}


@pytest.mark.parametrize("name", SUITE)
def test_the_suite_of_aws(name: str) -> None:
    path, signature = SUITE[name]
    keys = Keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    moment = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    found = signed("GET", f"https://example.amazonaws.com{path}", {}, keys, Scope("us-east-1", "service"), moment)
    assert found["authorization"].endswith(f"Signature={signature}")


# --- botocore ---

LETTERS = string.ascii_letters + string.digits
NAMES = LETTERS + "-._~ äµ日/+=&%,:;@!$'()*?#[]"


def text(rng: random.Random, letters: str, most: int, least: int = 1) -> str:
    return "".join(rng.choice(letters) for _ in range(rng.randint(least, most)))


def request_of(rng: random.Random, service: str) -> tuple[str, str, dict[str, str]]:
    """A request whose URL is written as ours are: each part of it percent-encoded once."""
    host = rng.choice(["bucket.s3.eu-west-1.amazonaws.com", "127.0.0.1:9000", "Host.Example", "[::1]:80", "h:443"])
    parts = [quote(text(rng, NAMES, 12), safe="~" if service == "s3" else "~,:@") for _ in range(rng.randint(0, 5))]
    slash = rng.choice(["", "/"]) if parts else ""
    pairs = [
        f"{quote(text(rng, NAMES, 6), safe='~')}={quote(text(rng, NAMES, 9, 0), safe='~')}"
        for _ in range(rng.randint(0, 4))
    ]
    query = "?" + "&".join(pairs) if pairs else ""
    names = rng.sample(["Range", "If-Match", "X-Amz-Meta-A", "Accept", "x-zulu"], rng.randint(0, 3))
    headers = {name: text(rng, LETTERS + "  ,;=/*", 20).strip() or "x" for name in names}
    scheme = rng.choice(["http", "https"])
    return rng.choice(["GET", "HEAD", "POST"]), f"{scheme}://{host}/{'/'.join(parts)}{slash}{query}", headers


@pytest.mark.parametrize("service", ["s3", "medical-imaging"])
def test_random_requests_are_signed_as_botocore_signs_them(service: str) -> None:
    rng = random.Random(f"signed {service}")
    for _ in range(500):
        method, url, headers = request_of(rng, service)
        token = text(rng, LETTERS + "/+=", 40) if rng.random() < 0.5 else None
        keys = Keys(text(rng, LETTERS, 20), text(rng, LETTERS + "/+", 40), token)
        region = rng.choice(["us-east-1", "eu-central-1", "cn-north-1"])
        theirs = AWSRequest(method, url, headers)
        signer: Any = (S3SigV4Auth if service == "s3" else SigV4Auth)(Credentials(*keys), service, region)
        signer.add_auth(theirs)
        moment = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        body_hash = theirs.headers.get("X-Amz-Content-SHA256", EMPTY)
        ours = signed(method, url, headers, keys, Scope(region, service), moment, body_hash)
        assert ours["authorization"] == theirs.headers["Authorization"], url
        assert ours.get("x-amz-security-token") == token
