"""Tests of the page with the phones in a real browser, which `make browser-test` runs."""
