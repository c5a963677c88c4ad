"""Hostile input for everything that reads text of others.

`make fuzz` runs the targets with many random cases; a unit test goes through each member of each
body with each hostile value.
"""
