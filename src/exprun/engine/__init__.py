"""Iterations executed fast with the bits of the plain loop: recorded once, then replayed."""
