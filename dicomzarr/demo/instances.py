"""One instance as the demo server holds it."""

from dicomzarr.faces.demo.instances import ServedInstance, from_dataset, from_file, virtual_instance

__all__ = ["ServedInstance", "from_dataset", "from_file", "virtual_instance"]
