"""Where tiles and slices lie."""
