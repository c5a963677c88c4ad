"""Tests of the developer commands: `make local`, its commands, and the walkthrough in README.md."""
