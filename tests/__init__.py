"""The tests, and the local world that they share with the demo."""
