"""The DICOM JSON model (PS3.18 Annex F), read into typed structures and Python values."""
