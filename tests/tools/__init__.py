"""Tests of what a developer types, `make local` and its commands, and of the built layer."""
