"""A client of Infobip's OMNI failover API, independent of AWS."""
