"""Hyperparameter search: configurations from a space, the worse ones stopped early."""
