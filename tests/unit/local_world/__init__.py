"""Tests of those parts of the local world that run without the emulator."""
