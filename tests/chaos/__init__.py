"""Faults by the thousand against the real functions, and the promises that must hold after them."""
