"""Both sides of each boundary, held to the same description."""
