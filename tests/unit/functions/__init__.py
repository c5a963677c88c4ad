"""The functions, each with fakes for what it talks to."""
