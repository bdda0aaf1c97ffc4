"""What ``dicomzarr demo`` does."""

from dicomzarr.faces.demo.show import COLOURFUL, Tissue, demo_archive, demo_server, demo_url, measure_tissue

__all__ = ["COLOURFUL", "Tissue", "demo_archive", "demo_server", "demo_url", "measure_tissue"]
