"""The functions in containers, by SAM's own runner, against the local world."""
