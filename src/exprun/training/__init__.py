"""A training: its state, batches, metrics, predictions and callbacks."""
