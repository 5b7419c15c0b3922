"""What the server of ``exprun.sweeps.worker_pool`` imports before it forks them."""

from exprun.common.signals import importing

with importing():
    import exprun.sweeps.worker  # noqa: F401
