"""How a server answers the fastest, by measuring."""
