"""HTTP, as all sources speak it: connections, credentials, pacing, tries, bodies."""
