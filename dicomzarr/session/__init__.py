"""Servers and identities in use, and the series that are open on them: the composition root."""
