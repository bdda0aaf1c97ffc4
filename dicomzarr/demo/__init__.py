"""A small slide behind a DICOMweb server of this process: see `dicomzarr.faces.demo`."""
