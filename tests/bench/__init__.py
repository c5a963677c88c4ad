"""Benchmarks, not tests: machines differ and are shared."""
