"""Frames that are no tiles to grids of time, channel and slice."""
