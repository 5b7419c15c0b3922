"""The command line: ``exprun key=value …`` goes to Hydra; errors are reported in one line.

Nothing here imports torch, except for running.
"""

from __future__ import annotations

import errno
import gc
import importlib
import io
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from exprun import __version__
from exprun.common.constants import CTRL_C, EXIT_CODES, FAILED
from exprun.common.errors import UsageError, choices, nearest
from exprun.common.signals import Interrupted, importing, interruptible
from exprun.common.threads import let_threads_sleep

USAGE_ERROR = 2
"""Exit code for an error in the user's input."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. ``argv`` is ``sys.argv[1:]`` if not given."""
    words = list(sys.argv[1:] if argv is None else argv)
    _tolerate_output_errors()
    let_threads_sleep()
    try:
        if words and re.fullmatch(r"\w+", words[0]):
            return _command(words[0], words[1:])
        # Hydra and OmegaConf misreport or swallow an exception that a signal handler raises
        with interruptible([signal.SIGINT]):
            return _run_or_print(words)
    except UsageError as error:
        print(f"exprun: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt as interrupt:
        print("exprun: interrupted", file=sys.stderr)
        return interrupt.exit_code if isinstance(interrupt, Interrupted) else CTRL_C
    except BrokenPipeError:  # the reader closed the pipe, like head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, missing permissions
        named = error.filename is not None and error.strerror
        reason = f"{error.filename}: {error.strerror}" if named else str(error)
        print(f"exprun: {reason}", file=sys.stderr)
        return EXIT_CODES[FAILED]
    finally:
        _collect_no_garbage_at_exit()


def _collect_no_garbage_at_exit() -> None:
    """Save the 0.1 s of a last garbage collection, unless Triton is there, which torch imports with
    a few of its optimizers and schedulers: it would print whatever is not collected as leaks."""
    if "triton" in sys.modules:
        gc.unfreeze()
    else:
        gc.freeze()


def _run_or_print(words: list[str]) -> int:
    """Run or print a config, from overrides and flags; returns the exit code."""
    if _is_multirun(words):
        from exprun.sweeps import worker_pool

        worker_pool.prepare()  # workers import torch meanwhile
    words = _checked(words)
    config_dir = _option(words, "--config-dir", "-cd")
    if config_dir and not Path(config_dir).is_dir():
        raise UsageError(f"--config-dir: there is no folder {config_dir}")
    if {"--help", "-h"} & set(words):
        from exprun.commands.help import show_help

        show_help(config_dir)
        sys.stdout.flush()
        return 0
    if "--version" in words:
        print(f"exprun {__version__}")
        return 0
    if any(word.startswith("query=") for word in words) and "COMP_LINE" in os.environ:
        return _complete(words, os.environ["COMP_LINE"])
    return _hydra(words)


def _complete(words: list[str], line: str) -> int:
    """Print the completions of ``line`` for the shell, one per line."""
    from exprun.commands.completion import complete, is_command

    code = 0 if is_command(line) else _hydra(words)
    for word in complete(line):
        print(word)
    return code


class _Terminal(io.FileIO):
    """A terminal that ignores writes after it was closed."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return len(data)


def _tolerate_output_errors() -> None:
    """Make stdout and stderr replace unprintable characters and ignore a closed terminal, so that
    output errors cannot end a training."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the parent process
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        elif stream.isatty():
            terminal = _Terminal(stream.fileno(), "w", closefd=False)
            safe = io.TextIOWrapper(
                io.BufferedWriter(terminal), stream.encoding, "replace", line_buffering=True
            )
            setattr(sys, name, safe)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _command(name: str, words: list[str]) -> int:
    """Run one of the commands; returns the exit code. ``resume`` of a search returns a command line
    for Hydra instead."""
    from exprun.commands import COMMANDS

    if name not in COMMANDS:
        raise UsageError(
            f"{name!r} is no command and not of the form key=value{nearest(name, COMMANDS)} "
            f"(commands: {', '.join(COMMANDS)}; see exprun --help)"
        )
    with importing():
        command = importlib.import_module(f"exprun.commands.{name}")
    code: int | list[str] = command.main(words)
    return code if isinstance(code, int) else _hydra(_checked(code))


PRINTING = {"--help", "-h", "--version", "--cfg", "-c", "--info", "-i", "--hydra-help"}
"""Flags that print something and run nothing."""


OWN_CONFIG = {"--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn"}
"""Flags that name configs of one's own, which may set ``hydra.mode`` anywhere."""

MODES = PRINTING | {"--run", "-r", "--multirun", "-m", "--shell-completion", "-sc"}
"""Flags that select Hydra's mode; only one is allowed."""


def _is_multirun(words: Sequence[str]) -> bool:
    """Whether the command line itself, not a preset, asks for a sweep and runs it."""
    flags = {word.split("=")[0] for word in words}
    return bool({"-m", "--multirun"} & flags) and not PRINTING & flags


def _hydra(words: list[str]) -> int:
    """Run Hydra and turn its errors into UsageErrors; returns the exit code."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from exprun.config.hydra_internals import (
        main_arguments,
        mode_of_the_command_line,
        quick_defaults_lists,
        register_resolver,
    )
    from exprun.config.paths import conf_dir
    from exprun.config.sweep_overrides import with_conditional
    from exprun.hydra_callbacks import Escape
    from exprun.record.files import folder_name

    register_resolver("exprun.folder_name", folder_name)
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    modes = [
        word for word in words if word.startswith("hydra.mode=") or word.split("=")[0] in MODES
    ]
    if not modes and _is_sweep(words):
        # Hydra 1.4 reads hydra.mode only from the command line and config.yaml
        words = ["--multirun", *words]
    own_config = OWN_CONFIG & {word.split("=")[0] for word in words}
    sweep = {"--multirun", "-m"} & set(words)
    sys.argv = ["exprun", *(with_conditional(words) if sweep else words)]
    try:
        if PRINTING & {word.split("=")[0] for word in words}:
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # printing: end with the reader
        mode = nullcontext() if own_config else mode_of_the_command_line()
        with _hydra_raises(), mode, quick_defaults_lists():
            main = hydra.main(str(conf_dir()), "config", **main_arguments())
            main(_task)()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Escape as escape:
        error = escape.__cause__
        if isinstance(error, HydraException | OmegaConfBaseException):
            raise _as_usage_error(error, words) from error
        raise error or escape from None
    except UsageError:
        raise
    except Exception as error:  # from Hydra, about its input: jobs return their errors
        if wants_traceback or (
            isinstance(error, OSError) and not isinstance(error, HydraException)
        ):
            raise
        raise _as_usage_error(error, words) from error
    return 0


def _as_usage_error(error: Exception, words: list[str]) -> UsageError:
    """An error of Hydra as a UsageError of one line."""
    from exprun.config.messages import explain

    overrides = [word for word in words if re.match(r"[^-].*=|~", word)]
    config_dir = _option(words, "--config-dir", "-cd")
    return UsageError(explain(error, overrides, config_dir, _is_sweep(words)))


def _is_sweep(words: list[str]) -> bool:
    """Whether the command line or the chosen preset asks for a sweep."""
    from exprun.config.options import is_sweep, options
    from exprun.config.paths import conf_dir

    if {"-m", "--multirun"} & set(words):
        return True
    config_dir = _option(words, "--config-dir", "-cd")
    presets = options("experiment", [conf_dir(), *([Path(config_dir)] if config_dir else [])])
    chosen = [word.removeprefix("experiment=") for word in words if word.startswith("experiment=")]
    return any(name in presets and is_sweep(presets[name]) for name in chosen)


@contextmanager
def _hydra_raises() -> Iterator[None]:
    """Context in which Hydra raises its errors instead of printing them."""
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
    """Hydra's task function for a single run. Returns the result, or the UsageError or Interrupted
    that prevented it. (Sweeps run their jobs in launchers: ``hydra_plugins.exprun_sweeps``.)"""
    from hydra.core.hydra_config import HydraConfig

    from exprun.config.compose import overrides_of
    from exprun.config.schema import plain

    try:
        with importing():
            from exprun.job import Job
            from exprun.run import run
    except Interrupted as interrupt:
        return interrupt
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    try:
        overrides, chosen = overrides_of(hydra_config), hydra_config.runtime.choices
        return run(Job(plain(config), folder, overrides, chosen))
    except UsageError as error:
        return error


def _checked(words: list[str]) -> list[str]:
    """The words with all flags first, as Hydra's parser requires; raises UsageError for an unknown
    flag or a word that is not an override."""
    from exprun.config.hydra_internals import flags as hydra_flags

    actions = hydra_flags()
    takes_value = {flag: a.nargs != 0 for a in actions for flag in a.option_strings}
    allowed = {flag: a.choices for a in actions if a.choices for flag in a.option_strings}
    flags: list[str] = []
    overrides: list[str] = []
    needs_value = None
    for word in words:
        flag = word.split("=", 1)[0]
        if needs_value or word.startswith("-"):
            if not needs_value and flag not in takes_value:
                hint = nearest(flag, takes_value)
                raise UsageError(f"{flag}: no such option{hint} (see exprun --help)")
            flags.append(word)
            value = word if needs_value else word.partition("=")[2]
            of = needs_value or flag
            if value and of in allowed and value not in allowed[of]:
                raise UsageError(f"{of} {value}: expected {choices(allowed[of])}")
            needs_value = flag if not needs_value and takes_value[flag] and not value else None
        elif "=" in word or word.startswith("~"):
            overrides.append(word)
        else:
            raise UsageError(f"{word!r} is not of the form key=value (see exprun --help)")
    if needs_value and needs_value not in OPTIONAL_VALUE:
        raise UsageError(f"{needs_value} needs a value (see exprun --help)")
    return [*flags, *overrides]


OPTIONAL_VALUE = ("--info", "-i")
"""Flags with an optional value."""


def _option(words: list[str], *names: str) -> str | None:
    """The value of a flag, given as ``--flag value`` or ``--flag=value``; None without it."""
    for i, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in names:
            return str(Path(value if equals else words[i + 1]).absolute())
    return None
