"""exprun: controlled experiments on how to train a neural network."""

__version__ = "0.1.0"
