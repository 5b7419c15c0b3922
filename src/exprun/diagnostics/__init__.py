"""Diagnostics of a network's layers during training: activations, gradients and updates."""
