"""Contract tests: both sides of each boundary must agree with the same description."""
