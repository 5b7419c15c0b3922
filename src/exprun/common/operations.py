"""The library of exprun's own torch operations, which faster kernels may implement too."""

import torch

OPERATIONS = torch.library.Library("exprun", "DEF")
"""Its operations are ``torch.ops.exprun.…``; a recording has each of them as a single operation."""
