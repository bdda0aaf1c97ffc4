"""The cache on disk: encoded frames and opened metadata, shared by processes, private, bounded, verified on read."""
