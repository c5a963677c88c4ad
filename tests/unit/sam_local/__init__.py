"""Tests of the choice of the image in which SAM runs the functions."""
