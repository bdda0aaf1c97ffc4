"""Part-10 files (PS3.10) and data sets in their bytes: where frames lie."""
