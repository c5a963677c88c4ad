"""Tests of what callers send."""
