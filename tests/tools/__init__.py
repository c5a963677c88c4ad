"""Tests of what a developer types: `make local`, its commands, and README's walk through them."""
