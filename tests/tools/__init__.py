"""Tests of what a developer types, of the walkthrough in README.md, and of the built layer."""
