"""A stateful simulator of Infobip's OMNI failover API that can fail on purpose."""
