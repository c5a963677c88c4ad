"""Tests that the project runs on machines unlike its developers' own."""
