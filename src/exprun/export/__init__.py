"""Exports: a model with its preprocessing as one file that others can run."""
