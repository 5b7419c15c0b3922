"""Rules for the values of all keys of the configuration.

A key has the same meaning in every group, so most rules are found by the last part of the key
(``lr``, ``betas``); a rule for the full key takes precedence. No rule needs torch, so that wrong
values are reported immediately.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exprun.common.constants import ACTIVATIONS
from exprun.common.errors import choices
from exprun.common.named_files import expanded, is_there

Test = Callable[[Any], bool]
"""Returns whether a value is accepted."""


@dataclass(frozen=True)
class Rule:
    """A rule for values: a test, and its description for error messages and the docs."""

    accepts: Test
    expected: str
    words: tuple[str, ...] = ()
    near: Callable[[str], Iterable[str]] = lambda _: ()
    """Returns candidates for suggestions for a wrong value, in addition to ``words``."""

    value: str = ""
    """``expected`` without null, for a key that must be given."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _range(low: float, high: float, open_low: bool, open_high: bool) -> tuple[Test, str]:
    """A test for a range of numbers, and its description."""

    def fits(value: Any) -> bool:
        above: bool = value > low if open_low else value >= low
        below: bool = value < high if open_high else value <= high
        return above and below

    if math.isinf(low) and math.isinf(high):
        return fits, ""
    if math.isinf(high):
        return fits, f" {'above' if open_low else 'of at least'} {low:g}"
    return fits, f" in {'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"


def number(
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> Rule:
    """The rule for a finite number in a range."""
    fits, words = _range(low, high, open_low, open_high)
    return Rule(lambda v: _is_number(v) and fits(v), f"a number{words}")


def integer(low: float = -math.inf) -> Rule:
    """The rule for an integer of at least ``low``."""
    fits, words = _range(low, math.inf, False, True)
    return Rule(lambda v: _is_integer(v) and fits(v), f"a whole number{words}")


def one_of(*words: str) -> Rule:
    """The rule for one of several words."""
    return Rule(lambda v: isinstance(v, str) and v in words, choices(words), words)


def pattern(regex: str, expected: str, words: tuple[str, ...] = ()) -> Rule:
    """The rule for a word that matches ``regex``."""
    return Rule(lambda v: isinstance(v, str) and bool(re.fullmatch(regex, v)), expected, words)


def list_of(rule: Rule, expected: str, length: int | None = None, shortest: int = 0) -> Rule:
    """The rule for a list of at least ``shortest`` items, each accepted by ``rule``."""

    def accepts(value: Any) -> bool:
        if not isinstance(value, Sequence) or isinstance(value, str):
            return False
        fits = len(value) >= shortest if length is None else len(value) == length
        return fits and all(map(rule.accepts, value))

    return Rule(accepts, expected)


def either(first: Rule, second: Rule) -> Rule:
    """The rule for values accepted by one of two rules."""
    return Rule(
        lambda v: first.accepts(v) or second.accepts(v),
        f"{first.expected}, or {second.expected}",
        first.words + second.words,
        lambda v: (*first.near(v), *second.near(v)),
        second.expected if first is null else "",
    )


def _siblings(path: str) -> list[str]:
    """The files and folders beside the one that a path names."""
    folder = expanded(path).parent
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    return [str(Path(path).with_name(name)) for name in names]


boolean = Rule(lambda v: isinstance(v, bool), "true or false", ("true", "false"))
null = Rule(lambda v: v is None, "null", ("null",))
text = Rule(lambda v: isinstance(v, str) and bool(v), "a name")
column = Rule(lambda v: text.accepts(v) or _is_integer(v), "a column")
columns = list_of(column, "a list of columns, like [id,date]")
gap_word = Rule(
    lambda v: (
        v is None or text.accepts(v) or (isinstance(v, int | float) and not isinstance(v, bool))
    ),
    "a word or a number, infinities too",
)
label = Rule(lambda v: text.accepts(v) or _is_number(v), "a label")
path = Rule(
    lambda v: isinstance(v, str) and bool(v) and is_there(v),
    "a file or a folder that exists, or a pattern of files",
    near=_siblings,
)
positive = number(0, open_low=True)
at_least_zero = number(0)
share = number(0, 1)
share_below_one = number(0, 1, open_high=True)

weights = Rule(
    lambda v: isinstance(v, Mapping) and bool(v) and all(map(positive.accepts, v.values())),
    "weights of labels, like {yes:5}",
)
MONITORED = (
    *("loss", "weighted_loss", "accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss"),
    *("mean_rank_error", "quadratic_kappa", "rmse", "mae", "r2", "poisson_deviance"),
)
"""Validation figures that early stopping can monitor, if the task has them."""

RULES: dict[str, Rule] = {
    "seed": integer(0),
    "device": pattern(
        r"auto|cpu|cuda(:\d+)?", "auto, cpu, cuda or cuda:<index>", ("auto", "cpu", "cuda")
    ),
    "trainer.max_epochs": integer(1),
    "trainer.threads": either(one_of("auto"), integer(1)),
    "trainer.engine": one_of("auto", "native", "replay", "plain"),
    "sweep.into": either(null, Rule(text.accepts, "the folder of a sweep")),
    "checkpoint.every": either(one_of("auto"), integer(1)),
    "diagnostics.rows": integer(1),
    "diagnostics.every": either(one_of("auto"), integer(1)),
    "diagnostics.histograms": boolean,
    # model
    "hidden": list_of(integer(1), "a list of layer sizes of at least 1, like [100,100]"),
    "activation": one_of(*ACTIVATIONS),
    # init
    "scale": positive,
    "mode": one_of("fan_in", "fan_out", "fan_avg"),
    "distribution": one_of("normal", "uniform"),
    "gain": positive,
    "mean": number(),
    "std": at_least_zero,
    "bias_std": at_least_zero,
    "low": number(),
    "high": number(),
    "value": number(),
    # optimizer
    "lr": positive,
    "momentum": share_below_one,
    "norm.momentum": either(null, share),
    "betas": list_of(share_below_one, "two numbers in [0, 1), like [0.9,0.999]", length=2),
    "eps": at_least_zero,
    "norm.eps": positive,
    "weight_decay": at_least_zero,
    "nesterov": boolean,
    "lr_decay": at_least_zero,
    "initial_accumulator_value": at_least_zero,
    "rho": share,
    "alpha": share_below_one,
    "centered": boolean,
    "amsgrad": boolean,
    "momentum_decay": at_least_zero,
    "max_iter": integer(1),
    "history_size": integer(1),
    "tolerance_grad": at_least_zero,
    "tolerance_change": at_least_zero,
    "line_search_fn": either(one_of("strong_wolfe"), null),
    # scheduler
    "interval": one_of("epoch", "iteration"),
    "warmup_epochs": at_least_zero,
    "gamma": at_least_zero,
    "step_size": integer(1),
    "epochs": positive,
    "min_factor": share,
    "pct_start": number(0, 1, open_low=True),
    "div_factor": positive,
    "final_div_factor": positive,
    "factor": number(0, 1, open_low=True, open_high=True),
    "threshold": at_least_zero,
    "min_lr": at_least_zero,
    # reg
    "strength": at_least_zero,
    "biases": boolean,
    "l1_ratio": share,
    "p": either(share_below_one, list_of(share_below_one, "one per hidden layer, like [0.2,0.5]")),
    "max_norm": positive,
    "smoothing": share_below_one,
    # norm
    "position": one_of("pre", "post"),
    # batching, stopping, loss
    "batching.batch_size": either(one_of("full"), integer(1)),
    "patience": integer(0),
    "stopping.patience": either(null, integer(1)),
    "min_delta": at_least_zero,
    "monitor": one_of("auto", *(f"val_{name}" for name in MONITORED)),
    "restore_best": boolean,
    "decay": share_below_one,
    "reduction": one_of("mean", "sum"),
    "class_weight": either(
        one_of("balanced"),
        either(null, either(list_of(positive, "one weight per class, like [1,5]"), weights)),
    ),
    "delta": positive,
    # problem
    "a": number(),
    "b": number(),
    "start": list_of(number(), "two numbers x and y, like [-1.2,1.0]", length=2),
    "iterations": integer(1),
    "minima": list_of(
        list_of(number(), "two numbers", length=2), "a list of points, like [[1.0,1.0]]"
    ),
    "animation": boolean,
    "problem.betas": list_of(
        share_below_one, "one or more numbers in [0, 1), like [0.5,0.9]", shortest=1
    ),
    "problem.path": either(null, path),
    "column": either(null, text),
    "days": integer(2),
    "start_lr": positive,
    "end_lr": positive,
    "beta": share_below_one,
    "explosion": number(1, open_low=True),
    # published figures of a preset: exprun.sweeps.published
    "published.source": text,
    "published.needs": list_of(text, "a list of keys, like [data.test_path]"),
    "published.figures": Rule(lambda _: False, "a list of figures, each with metric and value"),
    "published.figures.metric": text,
    "published.figures.value": number(),
    "published.figures.label": either(null, text),
    "published.figures.variant": either(null, text),
    "published.figures.epoch": either(null, integer(0)),
    "published.figures.layer": either(null, text),
    "published.figures.spread": either(null, at_least_zero),
    "published.figures.within": either(
        either(null, positive), list_of(number(), "two bounds, like [0.49,0.53]", length=2)
    ),
    # data
    "val_fraction": share_below_one,
    "test_fraction": share_below_one,
    "split": one_of("random", "last", "time"),
    "folds": either(null, integer(2)),
    "fold": either(null, integer(0)),
    "rare": one_of("error", "drop", "keep_in_train", "merge"),
    "split_seed": integer(0),
    "train_rows": either(null, integer(1)),
    "standardize": boolean,
    "standardize_target": boolean,
    "data.stream": boolean,
    "rows": integer(10),
    "noise": at_least_zero,
    "arms": integer(2),
    "turns": positive,
    "data.factor": number(0, 1, open_high=True),
    "scaling": one_of("auto", "standardize", "min_max", "unit", "quantile", "none"),
    "impute_numeric": one_of("median", "most_frequent"),
    "impute_categorical": one_of("own_category", "most_frequent"),
    "unseen": one_of("ignore", "error"),
    "encoding": one_of("auto", "one_hot", "target", "frequency"),
    "path": path,
    "test_path": either(null, path),
    "target": either(null, either(column, columns)),
    "order": list_of(label, "all labels of the target, the lowest first, like [low,mid,high]"),
    "task": one_of("auto", "classification", "regression"),
    "drop": columns,
    "group": either(null, column),
    "weight": either(null, column),
    "data.time": either(null, column),
    "numeric": columns,
    "categorical": columns,
    "header": boolean,
    "delimiter": either(
        one_of("auto", "comma", "tab", "semicolon", "space"), pattern(r"[^\w\s\"]", "one character")
    ),
    "decimal": one_of("auto", "point", "comma"),
    "thousands": one_of("auto", "none", "comma", "point", "blank", "apostrophe"),
    "missing": list_of(gap_word, "a list of words, like [?,NA]"),
    "dataset": Rule(column.accepts, "a name or a number"),
    "version": either(one_of("active"), integer(1)),
}


def rule_for(key: str) -> Rule | None:
    """The rule of a key like ``optimizer.lr``; None for a user's own key."""
    return RULES.get(key, RULES.get(key.rsplit(".", 1)[-1]))
