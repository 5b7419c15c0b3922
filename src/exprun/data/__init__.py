"""Data: sources of rows, the task they pose, the split, and the preprocessing."""
