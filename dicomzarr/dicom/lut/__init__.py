"""From stored values to others: rescaling, tables, palettes, real world values, windows."""
