"""Tests of what a developer types: `make local`, its commands, README.md's walkthrough, the layer."""
