"""Lets an operator deal with what was set aside."""
