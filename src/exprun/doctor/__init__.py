"""What went wrong in a training, told by its curve and its layers, and what to try.

A disease is one small function from ``Findings`` to a ``Diagnosis`` or None; ``diagnose.RULES``
lists them. Nothing but ``examine`` and ``trial`` needs torch.
"""
