"""The capacity that a number of messages a day needs; `make capacity` prints it."""
