"""Lists, redrives, releases and closes dead-lettered records, as an operator decides."""
