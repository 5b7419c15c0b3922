"""Diagnosis of a training from its learning curve, layers and data, with suggestions.

A rule is one small function from ``Findings`` to a ``Diagnosis`` or None; ``diagnose.RULES`` lists
them. Only ``examine`` and ``trial`` need torch.
"""
