"""Tests of the events that callers send."""
