"""Creates a scenario at Infobip, or adopts or updates it, and registers it."""
