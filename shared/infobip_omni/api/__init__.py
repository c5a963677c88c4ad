"""A client of Infobip's OMNI failover API; it knows no AWS."""
