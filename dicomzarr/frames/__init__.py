"""Frame references to few requests, and encoded frames to arrays."""
