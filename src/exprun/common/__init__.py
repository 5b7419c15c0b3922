"""Basics used by all packages: errors, constants, signals, threads, random streams."""
