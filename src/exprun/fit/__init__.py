"""The training loop, the learning curve, and many trainings of one shape as one."""
