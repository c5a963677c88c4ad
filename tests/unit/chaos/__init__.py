"""Tests of the plans and checks of `make chaos`."""
