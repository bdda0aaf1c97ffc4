"""Series in files: one folder on a disk of this machine, or one file."""
