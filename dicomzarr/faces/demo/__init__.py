"""A small slide and an in-process DICOMweb server to show it."""
