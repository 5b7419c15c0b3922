"""A training: its state, batches, random streams, metrics and callbacks."""
