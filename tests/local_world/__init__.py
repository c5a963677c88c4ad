"""Everything outside our code, on this machine."""
