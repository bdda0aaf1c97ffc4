"""Segments, and their colours (PS3.3 section C.8.20)."""
