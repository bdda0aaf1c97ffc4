"""``dicomzarr serve``: series as OME-Zarr over HTTP, for tools of any language and for the page; read-only."""
