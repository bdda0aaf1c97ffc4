"""Credentials: given, found, or those of a client that somebody has."""
