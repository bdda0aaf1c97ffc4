"""Who signs requests as AWS wants it: botocore is the judge."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aiohttp import web
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

KEY, SECRET = "AKIDOFNOBODY", "s1gning/s3cret+of/nobody"
REGION = "eu-central-1"
_LOGIN = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, "
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)


def is_signed(request: web.Request, service: str, key: str = KEY, secret: str = SECRET) -> bool:
    """Whether a request has the signature that botocore makes of it as it has come."""
    found = _LOGIN.fullmatch(request.headers.get("Authorization", ""))
    if found is None or (found["key"], found["region"], found["service"]) != (key, REGION, service):
        return False
    names = found["names"].split(";")
    given = {name: request.headers[name] for name in names if name != "host"}
    if "host" not in names or "x-amz-date" not in names:
        return False
    url = f"http://{request.headers['Host']}{request.raw_path.partition('?')[0]}"
    theirs = AWSRequest(request.method, url, given, params=dict(request.query))  # decoded, as AWS does
    theirs.context["timestamp"] = request.headers["X-Amz-Date"]
    signer: Any = (S3SigV4Auth if service == "s3" else SigV4Auth)(Credentials(key, secret), service, REGION)
    text = signer.string_to_sign(theirs, signer.canonical_request(theirs))
    return bool(signer.signature(text, theirs) == found["signature"])


def require_signature(service: str) -> Middleware:
    """403, as AWS says it, to who does not sign."""

    @web.middleware
    async def door(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_signed(request, service):
            return await handler(request)
        return web.json_response({"message": "The request signature we calculated does not match"}, status=403)

    return door
