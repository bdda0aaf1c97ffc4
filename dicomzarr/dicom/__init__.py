"""What the DICOM standard says, as pure functions and frozen values."""
