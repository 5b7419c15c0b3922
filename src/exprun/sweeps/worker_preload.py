"""Imported by the forkserver of ``exprun.sweeps.worker_pool`` before it forks workers."""

from exprun.common.signals import importing

with importing():
    import exprun.sweeps.worker  # noqa: F401
