"""What the server of ``exprun.workers`` imports before it forks them."""

from exprun.interrupt import importing

with importing():
    import exprun.worker  # noqa: F401
