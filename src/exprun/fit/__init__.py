"""The training loop, the learning curve, and stacks of trainings of equal shape on a GPU."""
