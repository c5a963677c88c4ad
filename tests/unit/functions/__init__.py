"""Tests of the functions, with fakes in place of the services they call."""
