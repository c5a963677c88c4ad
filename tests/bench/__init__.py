"""Measurements, which are no tests: machines differ, and are shared."""
