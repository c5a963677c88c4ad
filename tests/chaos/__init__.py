"""Inject thousands of faults into the real functions, then check the promises they must keep."""
