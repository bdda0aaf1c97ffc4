"""The demo server."""

from dicomzarr.faces.demo.server import DICOMwebServer, RequestRecord

__all__ = ["DICOMwebServer", "RequestRecord"]
