"""Tests of what `make bench` computes."""
