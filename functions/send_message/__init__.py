"""Sends what upstream apps put on the send queue."""
