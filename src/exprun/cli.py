"""The command line: ``exprun key=value …`` goes to Hydra; what is wrong is said in one line.

Everything here answers without importing torch; only a run does that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exprun.errors import UsageError, nearest

USAGE_ERROR = 2
"""Exit code for a mistake in what was asked."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as the shell has it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. ``argv`` is ``sys.argv[1:]`` if not given."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if "--help" in words or "-h" in words:
            from exprun.help import show_help

            show_help(_option(words, "--config-dir", "-cd"))
            sys.stdout.flush()
            return 0
        _reject_unknown_words(words)
        config_dir = _option(words, "--config-dir", "-cd")
        if config_dir and not Path(config_dir).is_dir():
            raise UsageError(f"--config-dir: there is no folder {config_dir}")
        return _hydra(words)
    except UsageError as error:
        print(f"exprun: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print("exprun: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # somebody read only the head of what was printed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _hydra(words: list[str]) -> int:
    """Hand everything to Hydra, and turn its errors into UsageErrors."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from exprun.config.messages import explain
    from exprun.config.paths import conf_dir
    from exprun.hooks import Escape
    from exprun.record.files import folder_name

    OmegaConf.register_new_resolver("exprun.folder_name", folder_name, replace=True)
    sys.argv = ["exprun", *words]
    try:
        with _hydra_raises():
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(
                _task
            )()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except (HydraException, OmegaConfBaseException, Escape) as raised:
        error = raised.__cause__ if isinstance(raised, Escape) else raised
        if isinstance(error, HydraException | OmegaConfBaseException):
            overrides = [word for word in words if "=" in word and not word.startswith("-")]
            sweep = bool({"-m", "--multirun"} & set(words))
            config_dir = _option(words, "--config-dir", "-cd")
            raise UsageError(explain(error, overrides, config_dir, sweep)) from error
        if error is not None:
            raise error from None
        raise
    return 0


@contextmanager
def _hydra_raises() -> Iterator[None]:
    """Let Hydra raise its errors instead of printing them."""
    name = "HYDRA_FULL_ERROR"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _task(config: Any) -> Any:
    """What Hydra runs for each job: its result, or the UsageError or Ctrl-C that came before it."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from exprun.interrupt import interruptible

    with interruptible() as interrupted:  # a package imported by half cannot be imported again
        from exprun.job import run
    if interrupted():
        return KeyboardInterrupt()
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    try:
        in_sweep = hydra_config.mode == RunMode.MULTIRUN
        return run(config, folder, list(hydra_config.overrides.task), in_sweep=in_sweep)
    except UsageError as error:
        return error


def _reject_unknown_words(words: list[str]) -> None:
    """Raise UsageError for a flag that does not exist, or a word that is no override."""
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    flags = [flag for action in parser._actions for flag in action.option_strings]
    takes_value = {f for a in parser._actions if a.nargs != 0 for f in a.option_strings}
    value_of = None
    for word in words:
        if value_of:
            value_of = None
        elif word.startswith("-"):
            flag = word.split("=", 1)[0]
            if flag not in flags:
                raise UsageError(
                    f"{flag}: no such option{nearest(flag, flags)} (see exprun --help)"
                )
            value_of = flag if flag in takes_value and "=" not in word else None
        elif "=" not in word and not word.startswith("~"):
            raise UsageError(f"{word!r} is not of the form key=value (see exprun --help)")
    if value_of:
        raise UsageError(f"{value_of} needs a value (see exprun --help)")


def _option(words: list[str], *names: str) -> str | None:
    """The value of a flag: ``--flag value`` or ``--flag=value``."""
    for i, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in names:
            return str(Path(value if equals else words[i + 1]).absolute())
    return None
