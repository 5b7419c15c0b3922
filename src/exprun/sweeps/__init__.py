"""Sweeps: what was asked, the state of every job, and the processes that train them."""
