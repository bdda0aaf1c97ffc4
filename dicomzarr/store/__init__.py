"""A Zarr hierarchy without zarr: keys, documents, chunks."""
