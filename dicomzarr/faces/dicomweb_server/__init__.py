"""A DICOMweb server on a folder of DICOM files: searches, metadata, frames, instances, pictures, and storing."""

from dicomzarr.faces.dicomweb_server.server import DICOMwebServer

__all__ = ["DICOMwebServer"]
