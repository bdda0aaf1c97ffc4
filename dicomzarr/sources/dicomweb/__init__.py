"""The wire: asking a DICOMweb server, and distrusting what comes back."""
