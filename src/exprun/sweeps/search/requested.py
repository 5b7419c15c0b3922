"""The search that a command line requests."""

from __future__ import annotations

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from exprun.common.errors import UsageError, choices
from exprun.config.compose import overrides_of
from exprun.sweeps.launcher import DASK, SLURM
from exprun.sweeps.requested_jobs import job_words
from exprun.sweeps.search.search import Search
from exprun.sweeps.search.settings import SearchSettings
from exprun.sweeps.search.space import parse

NOT_KEPT = (
    *("hydra.mode=", "hydra.sweep.dir=", "hydra.run.dir="),
    *("hydra.sweeper.more=", "hydra.sweeper.trust="),
)
"""Overrides of Hydra that do not belong to the search that ``exprun resume`` goes on with."""


def requested_search(config: DictConfig) -> Search | None:
    """The search of a sweep's config; None for other sweepers. Raises UsageError if its settings or
    its space are invalid, or if the launcher or the problem cannot be used for one."""
    settings = SearchSettings.of(config)
    if settings is None:
        return None
    chosen = config.hydra.runtime.choices
    if chosen["hydra/launcher"] in (SLURM, DASK):
        raise UsageError(
            f"hydra/launcher={chosen['hydra/launcher']}: a search compares its jobs from rung to "
            f"rung on this machine; expected {choices(['stacked', 'local'])}"
        )
    if chosen["problem"] != "mlp":
        raise UsageError(
            f"problem={chosen['problem']}: a search compares validation curves; expected mlp"
        )
    words = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    own = [w for w in overrides_of(config.hydra, "hydra") if not w.startswith(NOT_KEPT)]
    loader = GlobalHydra.instance().config_loader()
    space = parse(job_words([*words, *overrides_of(config.hydra)]), loader)
    trust = config.hydra.sweeper.trust
    return Search(settings, space, config.trainer.max_epochs, tuple(own), trust)
