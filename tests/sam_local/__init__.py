"""SAM's own runner: the functions in containers, on this machine."""
