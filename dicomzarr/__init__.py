"""Any DICOMweb image series, opened as OME-Zarr, without a download."""
