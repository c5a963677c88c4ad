"""Tests of the functions in the containers of `sam local`."""
