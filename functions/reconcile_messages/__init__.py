"""Learns from Infobip's logs the outcome of messages that no answer or report has settled."""
