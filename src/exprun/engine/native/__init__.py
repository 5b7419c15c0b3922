"""The native engine: whole epochs of a multilayer perceptron as compiled C (``docs/engine.md``)."""
