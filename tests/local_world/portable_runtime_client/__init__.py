"""The folder of `runtime_client`, so that nothing else is added to a function's path."""
