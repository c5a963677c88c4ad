"""Learns from the logs what became of messages that nothing else tells about."""
