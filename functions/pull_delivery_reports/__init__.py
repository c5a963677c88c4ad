"""Pulls the delivery reports that Infobip holds ready."""
