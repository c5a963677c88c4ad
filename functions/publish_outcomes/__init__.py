"""Tells upstream apps what became of their messages."""
