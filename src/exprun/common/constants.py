"""Words that mean the same everywhere, known without importing torch."""

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
"""``model.activation`` and the class in ``torch.nn`` that it names."""

HIGHER_IS_BETTER = {"accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "r2"}
"""Metrics to be maximised."""

LOWER_IS_BETTER = {"loss", "weighted_loss", "log_loss", "rmse", "mae"}
"""Metrics to be minimised, as somebody's own are."""

COMPLETED = "completed"
EARLY_STOPPED = "early_stopped"
DIVERGED = "diverged"
FAILED = "failed"
INTERRUPTED = "interrupted"
"""How a run ended: ``status`` in result.json."""

ALONE = "not stacked: "
"""What stands before the reason in the ``engine`` of a stacked sweep's job that was trained by
itself."""

HELD = 75
"""What the shell gets if another process is at work on what was asked for: EX_TEMPFAIL of
sysexits.h, to be tried again."""

CTRL_C = 130
"""What the shell gets after Ctrl-C."""

FINISHED = (COMPLETED, EARLY_STOPPED, DIVERGED)
"""These are results: nothing is left to be done."""

EXIT_CODES = {COMPLETED: 0, EARLY_STOPPED: 0, DIVERGED: 1, FAILED: 1}
"""What the shell gets for a single run that ended so; for interrupted ones see ``interrupt``."""
