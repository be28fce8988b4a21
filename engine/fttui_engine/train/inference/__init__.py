"""Using what was trained: writing answers, talking, comparing with the base, exporting."""
