"""Sends messages over Infobip's OMNI failover API, and stores their outcomes in AWS."""

#: The version of the project, which every log line carries; CHANGELOG.md describes it.
__version__ = "0.1.0"
