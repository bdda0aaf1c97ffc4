"""HTTP: connections, pacing, tries, bodies."""
