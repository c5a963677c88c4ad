"""Tests of how the project runs on machines that are not like its developers' own."""
