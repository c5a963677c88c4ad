"""Makes sure that a scenario exists at Infobip, and registers it."""
