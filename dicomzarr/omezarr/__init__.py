"""A series as a virtual OME-Zarr: hierarchy, documents, keys."""
