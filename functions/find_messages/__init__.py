"""Looks up messages and their outcomes."""
