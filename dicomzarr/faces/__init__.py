"""What people and tools see; no DICOM in here."""
