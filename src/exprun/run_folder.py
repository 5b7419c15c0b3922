"""Read a run's folder back; it may be damaged or come from an untrusted source."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from exprun.common.errors import UsageError, nearest
from exprun.config.allowed_targets import check_targets
from exprun.config.schema import check, plain
from exprun.job import Job

if TYPE_CHECKING:
    from exprun.training.training import Training


@dataclass(frozen=True)
class Stored:
    """The content of a run's ``.hydra/``: config, overrides, the chosen options of the groups, and
    the folder of the user's own options, if any."""

    config: DictConfig
    overrides: list[str]
    options: dict[str, str | None]
    config_dir: str | None


def stored(folder: Path) -> Stored:
    """Read ``.hydra/`` of a run's folder. Raises UsageError if ``folder`` is not a run's or a file
    cannot be read."""
    if not (folder / ".hydra" / "config.yaml").is_file():
        what = f"there is no such folder{_beside(folder)}; expected one like outputs/runs/…"
        if folder.is_dir():
            what = "is no folder of a run or a sweep; expected one like outputs/runs/…"
            if not any(folder.iterdir()):
                what = "is empty: its run was stopped before it began; start that again"
        raise UsageError(f"{folder}: {what}")
    return _read(folder)


def _read(folder: Path, files: Mapping[str, str] | None = None) -> Stored:
    """What the texts of a ``.hydra/`` say, which are read from there if they are not given."""
    config, overrides, hydra = (
        load_yaml(folder / ".hydra" / f"{name}.yaml", files[name] if files else None)
        for name in ("config", "overrides", "hydra")
    )
    assert isinstance(config, DictConfig)
    return _stored(config, [str(word) for word in overrides], hydra.hydra.runtime)


def stored_as(config: DictConfig) -> Stored:
    """What ``stored`` reads from the folder of the run with this composed ``config``."""
    task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    return _stored(task, list(config.hydra.overrides.task), config.hydra.runtime)


def _stored(config: DictConfig, overrides: list[str], runtime: DictConfig) -> Stored:
    sources = runtime.get("config_sources", [])
    own = next((s.path for s in sources if s.provider == "command-line"), None)
    return Stored(config, overrides, dict(runtime.choices), own)


def _beside(folder: Path) -> str:
    """A hint at a folder beside the one that does not exist, with a similar name."""
    if not folder.parent.is_dir():
        return ""
    names = [path.name for path in folder.parent.iterdir() if path.is_dir()]
    return nearest(folder.name, names)


def check_config(config: DictConfig, folder: Path | str, *, trust: bool) -> None:
    """Raise UsageError if the config is invalid or, without ``trust``, names code that is neither
    exprun's nor torch's."""
    check(config)
    if not trust:
        check_targets(config, str(folder))


def initial_training(run: Stored, folder: Path, *, trust: bool) -> Training:
    """The training of a run in its initial state, its data read again. Raises UsageError if the
    config has been edited into an invalid one, names the user's own code without ``trust``, or its
    data cannot be read."""
    from exprun.build import target_of  # imports torch

    check_config(run.config, folder, trust=trust)
    config = plain(run.config)
    training: Training = target_of("problem", config["problem"])(config)
    return training


def stored_job(
    folder: Path,
    *,
    trust: bool,
    in_sweep: bool = False,
    files: Mapping[str, str] | None = None,
) -> Job:
    """The run in ``folder``, to go on from its newest checkpoint, or to begin if it has none.

    ``files`` are the texts of its ``.hydra/`` if that is not written yet. Raises UsageError if the
    config is not what it was, or names somebody's own code.
    """
    run = stored(folder) if files is None else _read(folder, files)
    check_config(run.config, folder, trust=trust)
    return Job(plain(run.config), folder, run.overrides, run.options, in_sweep, resumed=True)


def load_yaml(path: Path, text: str | None = None) -> DictConfig | ListConfig:
    """The content of a file, or of the ``text`` that is to be written into it. Raises UsageError if
    it is missing or damaged."""
    try:
        return OmegaConf.load(path if text is None else io.StringIO(text))
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{path}: cannot be read: {reason}") from None
