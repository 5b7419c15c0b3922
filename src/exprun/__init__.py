"""exprun: controlled experiments on how to train a neural network.

From Python: ``exprun.load_sweep(folder)`` and ``exprun.load_run(folder)`` give Arrow tables of
results and curves, ``exprun.load_figures(folder)`` the figures of a sweep's report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exprun.report.load import load_figures
    from exprun.sweeps.load import load_run, load_sweep

__version__ = "0.1.0"

__all__ = ["__version__", "load_figures", "load_run", "load_sweep"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Import the functions that read results on first access, so that the command line starts
    without them."""
    if name in ("load_run", "load_sweep"):
        from exprun.sweeps import load

        return getattr(load, name)
    if name == "load_figures":
        from exprun.report.load import load_figures

        return load_figures
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
