"""Receives the delivery reports that Infobip pushes."""
