"""Constants shared by all packages. Nothing here imports torch."""

from __future__ import annotations

ACTIVATIONS = {
    "celu": "CELU",
    "elu": "ELU",
    "gelu": "GELU",
    "hardswish": "Hardswish",
    "identity": "Identity",
    "leaky_relu": "LeakyReLU",
    "mish": "Mish",
    "relu": "ReLU",
    "relu6": "ReLU6",
    "selu": "SELU",
    "sigmoid": "Sigmoid",
    "silu": "SiLU",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "tanh": "Tanh",
    "tanhshrink": "Tanhshrink",
}
"""Values of ``model.activation`` and the names of their classes in ``torch.nn``."""

HIGHER_IS_BETTER = {"accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "quadratic_kappa", "r2"}
"""Metrics to be maximised."""

LOWER_IS_BETTER = {
    "loss",
    "weighted_loss",
    "log_loss",
    "rmse",
    "mae",
    "poisson_deviance",
    "mean_rank_error",
}
"""Metrics to be minimised; custom metrics are minimised too."""

COMPLETED = "completed"
EARLY_STOPPED = "early_stopped"
DIVERGED = "diverged"
FAILED = "failed"
INTERRUPTED = "interrupted"
STOPPED = "stopped"
"""Values of ``status`` in result.json: how a run ended."""

ALONE = "not stacked: "
"""Prefix of the reason in ``engine`` for a job of a stacked sweep that was trained alone."""

HELD = 75
"""What the shell gets if another process is at work on what was asked for: EX_TEMPFAIL of
sysexits.h, to be tried again."""

CTRL_C = 130
"""Exit code after Ctrl-C."""

FINISHED = (COMPLETED, EARLY_STOPPED, DIVERGED)
"""Statuses of runs that are complete and need not be resumed."""

DONE = (*FINISHED, STOPPED)
"""Statuses of jobs for which a sweep has nothing left to do: those that are complete, and those
that a search has stopped (or paused, while it is at work)."""

EXIT_CODES = {COMPLETED: 0, EARLY_STOPPED: 0, STOPPED: 0, DIVERGED: 1, FAILED: 1}
"""Exit code of a single run by status; for interrupted ones see ``signals.exit_code``."""
