"""Options that other libraries have, and what they are here."""

from __future__ import annotations

from typing import Final

ELSEWHERE: Final = {
    **dict.fromkeys(("verify", "ssl", "cafile"), "Authorities that are trusted besides the system's are named by ca."),
    **dict.fromkeys(("token", "bearer"), 'A token goes into headers={"Authorization": "Bearer ..."}, or into auth.'),
    **dict.fromkeys(("user", "username", "password"), "User and password are auth=(user, password)."),
    **dict.fromkeys(
        ("key", "secret", "anon"), 'Buckets are read with auth="aws"; those of s3fs go into fsspec_options.'
    ),
    **dict.fromkeys(("cookies", "cookie"), 'Cookies are read with auth="cookies:file=FILE".'),
    **dict.fromkeys(("proxy", "proxies"), "Proxies are those of HTTPS_PROXY and HTTP_PROXY in the environment."),
    "params": "Parameters of requests are the option query.",
}
"""What to do instead, by the names of their options."""
