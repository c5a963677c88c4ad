"""Holds `runtime_client`, in a folder of its own, so that only that goes on a function's path."""
