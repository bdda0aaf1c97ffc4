"""The fsspec filesystems and their paths."""
