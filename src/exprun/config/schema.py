"""What every key of the configuration may hold.

A key means the same wherever it stands, so most rules go by the key's own name (``lr``, ``betas``);
a rule by the full name wins. A user's own options may have further keys: those are checked by what
they are handed to. No rule needs torch, so that a wrong value is answered at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, MissingMandatoryValue

from exprun.errors import UsageError, choices, nearest
from exprun.vocabulary import ACTIVATIONS

Test = Callable[[Any], bool]
"""Whether a value will do."""


@dataclass(frozen=True)
class Rule:
    """What a value must be: a test, and the words that name it in an error and in the docs."""

    accepts: Test
    expected: str
    words: tuple[str, ...] = ()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _range(low: float, high: float, open_low: bool, open_high: bool) -> tuple[Test, str]:
    """A test for a number's range, and the words for it."""

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
    """A finite number in a range."""
    fits, words = _range(low, high, open_low, open_high)
    return Rule(lambda v: _is_number(v) and fits(v), f"a number{words}")


def integer(low: float = -math.inf) -> Rule:
    """A whole number of at least ``low``."""
    fits, words = _range(low, math.inf, False, True)
    return Rule(lambda v: _is_integer(v) and fits(v), f"a whole number{words}")


def one_of(*words: str) -> Rule:
    """One of some words."""
    return Rule(lambda v: isinstance(v, str) and v in words, choices(words), words)


def pattern(regex: str, expected: str, words: tuple[str, ...] = ()) -> Rule:
    """A word of some form."""
    return Rule(lambda v: isinstance(v, str) and bool(re.fullmatch(regex, v)), expected, words)


def list_of(rule: Rule, expected: str, length: int | None = None, shortest: int = 0) -> Rule:
    """A list of at least ``shortest`` items that each fit a rule."""

    def accepts(value: Any) -> bool:
        if not isinstance(value, Sequence) or isinstance(value, str):
            return False
        fits = len(value) >= shortest if length is None else len(value) == length
        return fits and all(map(rule.accepts, value))

    return Rule(accepts, expected)


def either(first: Rule, second: Rule) -> Rule:
    """What fits one of two rules."""
    return Rule(
        lambda v: first.accepts(v) or second.accepts(v),
        f"{first.expected}, or {second.expected}",
        first.words + second.words,
    )


boolean = Rule(lambda v: isinstance(v, bool), "true or false", ("true", "false"))
null = Rule(lambda v: v is None, "null", ("null",))
text = Rule(lambda v: isinstance(v, str) and bool(v), "a name")
column = Rule(lambda v: text.accepts(v) or _is_integer(v), "a column")
columns = list_of(column, "a list of columns, like [id,date]")
path = Rule(
    lambda v: isinstance(v, str) and Path(v).expanduser().exists(),
    "a file that exists, or for data=idx a folder",
)
positive = number(0, open_low=True)
at_least_zero = number(0)
share = number(0, 1)
share_below_one = number(0, 1, open_high=True)

RULES: dict[str, Rule] = {
    "seed": integer(0),
    "device": pattern(
        r"auto|cpu|cuda(:\d+)?", "auto, cpu, cuda or cuda:<index>", ("auto", "cpu", "cuda")
    ),
    "trainer.max_epochs": integer(1),
    "trainer.threads": either(one_of("auto"), integer(1)),
    "trainer.replay": boolean,
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
    "monitor": pattern(
        r"val_(loss|accuracy|rmse|mae|r2)",
        "val_loss, val_accuracy, val_rmse, val_mae or val_r2",
        ("val_loss", "val_accuracy", "val_rmse", "val_mae", "val_r2"),
    ),
    "restore_best": boolean,
    "decay": share_below_one,
    "reduction": one_of("mean", "sum"),
    "class_weight": either(
        one_of("balanced"), either(null, list_of(positive, "one weight per class, like [1,5]"))
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
    # published figures of a preset: exprun.published
    "published.source": text,
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
    "split_seed": integer(0),
    "train_rows": either(null, integer(1)),
    "standardize": boolean,
    "standardize_target": boolean,
    "rows": integer(10),
    "noise": at_least_zero,
    "arms": integer(2),
    "turns": positive,
    "data.factor": number(0, 1, open_high=True),
    "scaling": one_of("auto", "standardize", "min_max", "quantile", "none"),
    "impute_numeric": one_of("median", "most_frequent"),
    "impute_categorical": one_of("own_category", "most_frequent"),
    "unseen": one_of("ignore", "error"),
    "path": path,
    "test_path": either(null, path),
    "target": either(either(null, column), columns),
    "task": one_of("auto", "classification", "regression"),
    "drop": columns,
    "group": either(null, column),
    "numeric": columns,
    "categorical": columns,
    "header": boolean,
    "delimiter": either(
        one_of("auto", "comma", "tab", "semicolon", "space"), pattern(r"[^\w\s\"]", "one character")
    ),
    "missing": list_of(either(text, number()), "a list of words, like [?,NA]"),
    "dataset": Rule(column.accepts, "a name or a number"),
    "version": either(one_of("active"), integer(1)),
}


def without_hydra(config: DictConfig) -> DictConfig:
    """The job's own part of a composed config."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def rule_for(key: str) -> Rule | None:
    """The rule of a key like ``optimizer.lr``; None for a user's own."""
    return RULES.get(key, RULES.get(key.rsplit(".", 1)[-1]))


def without_index(key: str) -> str:
    """``published.figures.value`` for ``published.figures[0].value``."""
    return re.sub(r"\[\d+\]", "", key)


def check(config: DictConfig) -> None:
    """Raise UsageError at the first key that nobody reads, or value that its rule does not accept,
    or that is missing.

    A node with a ``_target_`` may have keys without a rule, for its target takes them; any other
    has exactly those of RULES.
    """
    for group in TARGETED:
        if not isinstance(config.get(group), DictConfig) or "_target_" not in config[group]:
            raise UsageError(f"{group} has no _target_; expected one in the YAML of {group}=…")
    for key in NEEDED:
        parent, _, name = key.rpartition(".")
        node = config.get(parent, {}) if parent else config
        if isinstance(node, dict | DictConfig) and name not in node:
            raise UsageError(f"{key} is missing; expected {RULES[key].expected}")
    check_values(config)
    check_together(config)


def check_values(config: DictConfig) -> None:
    """Raise UsageError at the first key that nobody reads, or value that its rule does not accept,
    or that is missing; ``config`` may be a part of one."""
    elsewhere = None
    for key, value in leaves(config):
        parent, _, name = key.rpartition(".")
        has_target = bool(parent) and "_target_" in OmegaConf.select(config, parent)
        rule = rule_for(key) if has_target else RULES.get(without_index(key))
        if rule is None and not has_target:
            inside = [known for known in RULES if known.startswith(f"{key}.")]
            within = without_index(parent)
            siblings = [k.rpartition(".")[2] for k in RULES if k.rpartition(".")[0] == within]
            hint = f"; expected {inside[0]}=…" if inside else nearest(name, siblings)
            if parent == "reg":
                hint = f"; expected one of its keys, see exprun --cfg job reg={name}"
            raise UsageError(f"{key}={spelled(value)}: no such key{hint}")
        if rule is None or rule.accepts(value):
            continue
        shown = OmegaConf.to_container(value) if isinstance(value, ListConfig) else value
        if isinstance(shown, float) and shown.is_integer() and rule.accepts(int(shown)):
            hint = f"; did you mean {int(shown)}?"
        else:
            hint = nearest(shown, rule.words) if isinstance(shown, str) else ""
        expected = rule.expected
        if isinstance(shown, float) and not math.isfinite(shown):
            expected = expected.replace("a number", "a finite number")
        is_text = isinstance(shown, str) and re.fullmatch(r"[-+.\deE]+", shown)
        given = f"{shown!r} (text)" if is_text else spelled(shown)
        error = UsageError(f"{key}={given}: expected {expected}{hint}")
        if not OmegaConf.is_interpolation(OmegaConf.select(config, parent) or config, name):
            raise error
        elsewhere = elsewhere or error  # the key that it was taken from may say it better
    if elsewhere:
        raise elsewhere


PARTS: dict[str, tuple[str, ...]] = {
    "exprun.problems.build.descent": ("optimizer", "scheduler"),
    "exprun.problems.build.moving_averages": (),
}
"""Problems that train no network, and the groups that they read besides ``problem``."""


def parts_of(config: DictConfig) -> tuple[str, ...] | None:
    """The groups and keys that play a part in a problem that trains no network; None if one is
    trained, where all do."""
    groups: tuple[str, ...] | None = PARTS.get(config.problem._target_)
    return None if groups is None else ("problem", *groups, "seed", "device")


def check_parts(config: DictConfig, overrides: Iterable[str]) -> None:
    """Raise UsageError for an override of what plays no part in the problem."""
    parts = parts_of(config)
    if parts is None:
        return
    for override in overrides:
        key = override.split("=")[0].lstrip("+~").split("@")[0]
        if key.split(".")[0].split("/")[0] not in (*parts, "experiment", "hydra"):
            instead = "problem.iterations" if key == "trainer.max_epochs" else choices(parts)
            raise UsageError(f"{override}: plays no part in this problem; expected {instead}")


TARGETED = (
    "problem",
    "data",
    "model",
    "init",
    "norm",
    "optimizer",
    "scheduler",
    "loss",
    "stopping",
    "averaging",
)
"""Groups whose chosen option names a class or function."""

NEEDED = (
    "seed",
    "device",
    "trainer.max_epochs",
    "trainer.threads",
    "trainer.replay",
    "checkpoint.every",
    "batching.batch_size",
)
"""Keys that are read whatever the options."""


def check_together(config: DictConfig) -> None:
    """Raise UsageError for values that are right by themselves and not together."""
    if parts_of(config) and str(config.device).startswith("cuda"):
        raise UsageError(f"device={config.device}: this problem is for the CPU; expected cpu")
    val, test = (config.data.get(f"{part}_fraction", 0.0) for part in ("val", "test"))
    if val + test >= 1:
        raise UsageError(
            f"data.val_fraction={val:g} and data.test_fraction={test:g} leave nothing to train on; "
            "expected a sum below 1"
        )
    if config.stopping.get("patience") is not None and val == 0:
        raise UsageError(
            "stopping=early looks at a validation part and data.val_fraction=0 leaves none; "
            "expected stopping=none, or a larger data.val_fraction"
        )
    if config.norm._target_ == "torch.nn.BatchNorm1d" and config.batching.batch_size == 1:
        raise UsageError(
            "norm=batch: a batch of one row has no variance; expected norm=layer, or "
            "batching.batch_size of at least 2"
        )
    p, hidden = OmegaConf.select(config, "reg.dropout.p"), config.model.get("hidden", [])
    if isinstance(p, ListConfig) and len(p) != len(hidden):
        raise UsageError(
            f"reg.dropout.p has {len(p)} values for {len(hidden)} hidden layers of "
            f"model.hidden={spelled(list(hidden))}; expected one for all, or one each"
        )


LISTS = ("published.figures",)
"""Keys that hold a list of mappings, of which every key has a rule."""


def leaves(config: DictConfig, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Every key and its value, interpolations resolved, those of LISTS like
    ``published.figures[0].value``; raises UsageError for a missing one."""
    for name in config:
        key = f"{prefix}{name!s}"
        try:
            value = config[name]
        except MissingMandatoryValue:
            rule = rule_for(key)
            expected = f"; expected {rule.expected}" if rule else ""
            raise UsageError(f"{key} is not given{expected}: add {key}=…") from None
        except InterpolationKeyError as error:
            raise UsageError(f"{key}: {str(error).splitlines()[0]}") from None
        if isinstance(value, DictConfig):
            yield from leaves(value, f"{key}.")
        elif key in LISTS and isinstance(value, ListConfig) and _of_mappings(value):
            for number, item in enumerate(value):
                yield from leaves(item, f"{key}[{number}].")
        else:
            yield key, value


def _of_mappings(values: ListConfig) -> bool:
    return bool(values) and all(isinstance(item, DictConfig) for item in values)


def spelled(value: Any) -> str:
    """A value as the command line spells it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | ListConfig):
        return f"[{','.join(map(spelled, value))}]"
    return str(value)
