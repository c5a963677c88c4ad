"""Tests of what the local world measures and judges by itself."""
