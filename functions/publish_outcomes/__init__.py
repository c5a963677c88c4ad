"""Notifies upstream apps of the outcomes of their messages."""
