"""Tests of what decides about the image that SAM runs the functions in."""
