"""Storage options: how a server is reached, how it is asked, and how a series is shown."""

from __future__ import annotations

from dicomzarr.options.storage_options import HeadersCallable, StorageOptions, default_cache_dir, valid_headers

__all__ = ["HeadersCallable", "StorageOptions", "default_cache_dir", "valid_headers"]
