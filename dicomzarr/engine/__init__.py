"""Frames that are wanted, wherever they come from: cached, fetched once, decoded, delivered."""
