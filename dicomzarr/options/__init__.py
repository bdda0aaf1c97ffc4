"""Storage options: how a server is reached, how it is asked, and how a series is shown."""

from __future__ import annotations

from dicomzarr.options.access import Access
from dicomzarr.options.limits import LIMITS, Limits
from dicomzarr.options.parsing import default_cache_dir, valid_headers
from dicomzarr.options.provider import Provider, Rejected, SecretHeaders
from dicomzarr.options.secrets import HeadersCallable
from dicomzarr.options.storage_options import StorageOptions
from dicomzarr.options.tuning import Tuning
from dicomzarr.options.view import View

__all__ = [
    "LIMITS",
    "Access",
    "HeadersCallable",
    "Limits",
    "Provider",
    "Rejected",
    "SecretHeaders",
    "StorageOptions",
    "Tuning",
    "View",
    "default_cache_dir",
    "valid_headers",
]
