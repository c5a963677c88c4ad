"""Records parked delivery reports."""
