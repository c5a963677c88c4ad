"""Looks messages and their outcomes up."""
