"""One run, from its config to its folder of results."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from exprun.build import target_of
from exprun.display import watch
from exprun.errors import UsageError
from exprun.fit import Outcome, fit
from exprun.interrupt import interruptible
from exprun.record.files import write_json
from exprun.record.recorder import Recorder
from exprun.record.result import result_of
from exprun.vocabulary import FAILED, INTERRUPTED


def run(
    config: DictConfig,
    folder: Path,
    overrides: list[str],
    choices: Mapping[str, str | None],
    *,
    in_sweep: bool = False,
    state: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Build, fit and record one run; returns the content of its ``result.json``.

    ``choices`` are the chosen options of the groups. With the ``state`` of a checkpoint of the same
    run it goes on from there. What goes wrong inside becomes a
    result of status ``failed`` with the traceback in ``traceback.txt``. A mistake of the user's
    that only the data or the machine could tell raises UsageError, with nothing but ``.hydra/`` in
    the folder; in a sweep, which goes on, it becomes a failed result too.
    """
    started = time.perf_counter()
    try:
        training = target_of("problem", config.problem)(config)
        with (
            Recorder(folder, config, overrides, choices, training, state) as recorder,
            interruptible() as interrupted,
        ):
            with watch(" ".join(overrides), str(training.device), in_sweep=in_sweep) as screen:
                outcome = fit(training, [recorder, screen], interrupted)
            if outcome.status == INTERRUPTED and interrupted.signal:
                name = interrupted.signal.name
                outcome = replace(outcome, reason=f"{outcome.reason} by {name}", signal=name)
            return recorder.finish(outcome, time.perf_counter() - started)
    except UsageError as error:
        if not in_sweep:
            raise
        outcome = Outcome(FAILED, str(error))
    except KeyboardInterrupt:
        outcome = Outcome(INTERRUPTED, "interrupted outside of an epoch", signal="SIGINT")
    except OSError as error:  # the disk's or the system's fault, no bug
        outcome = Outcome(FAILED, str(error))
    except Exception as error:
        (folder / "traceback.txt").write_text(traceback.format_exc())
        outcome = Outcome(FAILED, f"{type(error).__name__}: {error}")
    result = result_of(config, overrides, outcome, time.perf_counter() - started)
    write_json(folder / "result.json", result)
    return result
