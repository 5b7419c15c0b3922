"""Benchmarks and long fault tests: run by hand, never by CI."""
