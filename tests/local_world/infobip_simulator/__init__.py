"""A stateful simulator of Infobip's OMNI failover API with fault injection."""
