"""Messages over Infobip's OMNI failover API, and what AWS keeps about them."""
