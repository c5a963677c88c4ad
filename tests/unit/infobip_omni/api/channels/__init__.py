"""Tests of the channels' contents."""
