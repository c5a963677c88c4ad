"""Tests of what `make chaos` plans and judges by."""
