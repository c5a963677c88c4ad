"""The sending protocol as a small model, searched for ways to break its promises."""
