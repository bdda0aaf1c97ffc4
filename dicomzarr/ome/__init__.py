"""Plans to OME-Zarr 0.5 documents."""
