"""Sends the messages that upstream apps put on the send queue."""
