"""Takes the delivery reports that Infobip calls with."""
