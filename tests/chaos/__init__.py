"""Faults by the thousand against the real functions, and the books that must balance after them."""
