"""Records the delivery reports that had to wait for the table."""
