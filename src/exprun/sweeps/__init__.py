"""Sweeps: the requested jobs, their states and results, and the processes that train them."""
