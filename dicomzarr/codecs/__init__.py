"""Encoded frames to arrays: every transfer syntax, and what stored values mean."""
