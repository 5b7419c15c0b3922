"""Everything that uses undocumented parts of Hydra and OmegaConf, or differs between versions.

All other modules use documented interfaces, so a new version can break exprun only here. Each piece
states why it is needed and what would replace it. They are written for hydra-core 1.3 with
OmegaConf 2.3, and 1.4 with 2.4, which Python 3.14 needs (CONTRIBUTING.md).
"""

from __future__ import annotations

import argparse
import copy
import inspect
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import hydra.utils
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository, IConfigRepository
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import InputDefault, ResultDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_omega_conf_dumper

if TYPE_CHECKING:
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

__all__ = [
    "BASIC_LAUNCHER",
    "BASIC_SWEEPER",
    "VERSION_BASE",
    "Hydra",
    "apply_values",
    "basic_sweeper",
    "fast_loader",
    "flags",
    "get_omega_conf_dumper",
    "is_group",
    "main_arguments",
    "main_hydra",
    "mode_of_the_command_line",
    "override_dirname",
    "quick_defaults_lists",
    "register_resolver",
]

# get_omega_conf_dumper is the PyYAML dumper behind OmegaConf.to_yaml, whose text is written again
# faster. Replaced by: OmegaConf.to_yaml.

BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
"""``_target_`` of Hydra's ``hydra/launcher=basic``, which exprun's launcher replaces."""

BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
"""``_target_`` of ``hydra/sweeper=basic``, whose jobs are all known in advance."""


def basic_sweeper() -> type[BasicSweeper]:
    """Hydra's grid sweeper, from which exprun's is derived. Hydra 1.3 recreates the class when it
    searches for plugins, so it must be looked up where it is used. Replaced by:
    ``hydra.plugins.sweeper.Sweeper``, which is documented, and the product of the values of
    ``Override.sweep_string_iterator``."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    return BasicSweeper


IS_1_3 = hydra.__version__.startswith("1.3.")

VERSION_BASE: dict[str, Any] = {"version_base": "1.3"} if IS_1_3 else {}
"""Arguments with which ``hydra.main`` and ``initialize_config_dir`` behave like Hydra 1.3: later
versions do so by default and deprecate the argument."""


def main_arguments() -> dict[str, Any]:
    """``VERSION_BASE``, and for Hydra 1.4 the permission to name any callback and launcher, as in
    1.3: the config is the user's own, like every ``_target_`` of exprun's options (untrusted run
    folders are read without Hydra). Without the argument 1.4 prints a warning."""
    if IS_1_3:
        return VERSION_BASE
    # mypy reads one version only
    return {"execution_whitelist": getattr(hydra.utils, "UNSAFE_DISABLE_EXECUTION_CHECKS")}  # noqa: B009


def flags() -> list[argparse.Action]:
    """The flags of Hydra's command line, to report a wrong one in one line instead of argparse's
    usage. Replaced by: a list maintained by hand."""
    return get_args_parser()._actions


def main_hydra(conf_dir: str, own: str | None) -> Hydra:
    """Hydra as ``hydra.main`` creates it with ``--config-dir`` (``own``), to find the override that
    it could not compose. Replaced by: ``initialize_config_dir`` and ``compose``, once they accept a
    search path for the options of groups too."""
    search_path = create_config_search_path(conf_dir)
    if own is not None:
        search_path.prepend("command-line", f"file://{own}")
    return Hydra.create_main_hydra2("exprun", search_path)


@contextmanager
def mode_of_the_command_line() -> Iterator[None]:
    """Context in which Hydra 1.3 takes ``hydra.mode`` from the command line alone, as 1.4 does. It
    composes the whole config once more to find it elsewhere, which doubles the time of composing.
    Replaced by: nothing, with Hydra 1.4."""
    if not IS_1_3:
        yield
        return
    before = Hydra.get_mode

    def get_mode(_: Hydra, config_name: str | None, overrides: Sequence[str]) -> RunMode | None:
        given = [word for word in overrides if word.startswith("hydra.mode=")]
        name = given[-1].partition("=")[2] if given else ""
        return RunMode[name] if name in RunMode.__members__ else None

    setattr(Hydra, "get_mode", get_mode)  # noqa: B010  # mypy has no word for it
    try:
        yield
    finally:
        setattr(Hydra, "get_mode", before)  # noqa: B010


@contextmanager
def quick_defaults_lists() -> Iterator[None]:
    """Context in which Hydra 1.3 prepares for interpolations in a defaults list only if it has
    some, as 1.4 does; that takes a quarter of the time of composing. Replaced by: nothing, with
    Hydra 1.4."""
    if not IS_1_3:
        yield
        return
    name = "_create_interpolation_map"
    before = getattr(defaults_list, name)

    def create(overrides: Any, defaults: list[InputDefault], self_added: bool) -> DictConfig | None:
        if any(default.is_interpolation() for default in defaults):
            made: DictConfig = before(overrides, defaults, self_added)
            return made
        return None

    setattr(defaults_list, name, create)
    try:
        yield
    finally:
        setattr(defaults_list, name, before)


def fast_loader(loader: ConfigLoader) -> ConfigLoader:
    """A loader that composes the same configs but looks for each file once and parses it once, as
    it was then. This and the next three functions make composing a sweep's jobs fast. Replaced by:
    the ``loader`` itself."""
    assert isinstance(loader, ConfigLoaderImpl)  # Hydra's only implementation
    return _Loader(loader.config_search_path)


class _Loader(ConfigLoaderImpl):
    """Hydra's loader, which begins to merge where two configs begin to differ."""

    def __init__(self, search_path: ConfigSearchPath) -> None:
        super().__init__(search_path)
        self.repository = _ParsedFiles(search_path)
        self.before: tuple[Any, ...] = ()  # what was merged last
        self.merged: dict[tuple[Any, ...], bytes] = {}  # what several configs begin with

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """As in Hydra 1.3. 1.4 refuses jobs with another ``hydra.sweeper`` than their sweep's, like
        those of a search, which do not choose its space; their sweeper is not used."""
        check = "_ensure_sweep_config_controller_unchanged"
        before = vars(ConfigLoaderImpl).get(check)
        if before is None:
            return super().load_sweep_config(master_config, sweep_overrides)
        setattr(ConfigLoaderImpl, check, staticmethod(lambda **_: None))
        try:
            return super().load_sweep_config(master_config, sweep_overrides)
        finally:
            setattr(ConfigLoaderImpl, check, before)

    def _compose_config_from_defaults_list(
        self, defaults: list[ResultDefault], repo: IConfigRepository
    ) -> DictConfig:
        sources = [(source.provider, source.full_path()) for source in repo.get_sources()]
        steps = (tuple(sources), *map(astuple, defaults))
        pairs = zip(steps, self.before, strict=False)
        alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        done = next((n for n in range(len(steps), 0, -1) if steps[:n] in self.merged), 0)
        compose = super()._compose_config_from_defaults_list
        if alike > max(done, 1):
            head = compose(self._after(steps[:done], defaults[: alike - 1]), repo)
            done = alike
            self.merged[steps[:done]] = pickle.dumps(head)
        self.before = steps
        return compose(self._after(steps[:done], defaults), repo)

    def _after(self, done: tuple[Any, ...], defaults: list[ResultDefault]) -> list[ResultDefault]:
        """The defaults with those that have been merged as one of them."""
        return [_Merged(self.merged[done]), *defaults[len(done) - 1 :]] if done else defaults

    def _load_single_config(self, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
        if isinstance(default, _Merged):
            return ConfigResult("", "", pickle.loads(default.content), {})
        return super()._load_single_config(default, repo)


class _Merged(ResultDefault):
    """A config that was merged from several."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content


class _ParsedFiles(ConfigRepository):
    """The files on a search path as Hydra reads them. What has been found is shared by the copies
    that Hydra makes, one for each config that it composes."""

    def __init__(self, search_path: ConfigSearchPath) -> None:
        self.found: dict[tuple[Any, ...], Any] = {}
        super().__init__(search_path)

    def __deepcopy__(self, memo: dict[int, Any]) -> _ParsedFiles:
        return copy.copy(self)

    def load_config(self, config_path: str) -> ConfigResult | None:
        key = (*self._searched(), config_path)
        if key not in self.found:
            self.found[key] = pickle.dumps(super().load_config(config_path))
        read: ConfigResult | None = pickle.loads(self.found[key])
        return read

    def _find_object_source(
        self, config_path: str, object_type: ObjectType | None
    ) -> ConfigSource | None:
        key = (*self._searched(), config_path, object_type)
        if key not in self.found:
            self.found[key] = super()._find_object_source(config_path, object_type)
        source: ConfigSource | None = self.found[key]
        return source

    def _searched(self) -> Iterator[tuple[str, str]]:
        return ((source.provider, source.full_path()) for source in self.sources)


def is_group(loader: ConfigLoader, master: DictConfig) -> Callable[[str], bool]:
    """A function that says whether a key names a group on the search path of a sweep's config
    ``master``, which may be longer than that of the ``loader``. Replaced by:
    ``loader.load_sweep_config`` for every job, as the next two functions."""
    assert isinstance(loader, ConfigLoaderImpl)  # Hydra's only implementation
    own: Any = OmegaConf.to_container(master.hydra.overrides.hydra, resolve=False)
    name = master.hydra.job.config_name
    _, repository = loader._parse_overrides_and_create_caching_repo(name, own)
    exists: Callable[[str], bool] = repository.group_exists
    return exists


def apply_values(config: DictConfig, overrides: Sequence[Override]) -> None:
    """Apply value overrides to a composed config, the last step of Hydra's composition. Raises what
    Hydra raises."""
    ConfigLoaderImpl._apply_overrides_to_config(list(overrides), config)


def override_dirname(config: DictConfig) -> Callable[[Sequence[Override]], str] | None:
    """A function that computes ``hydra.job.override_dirname`` from a job's overrides, as Hydra 1.3
    does during composition; None if it is an interpolation, as in 1.4."""
    if not IS_1_3:
        return None
    from hydra._internal.config_loader_impl import get_overrides_dirname  # not in 1.4

    style = config.hydra.job.config.override_dirname
    excluded, between, within = list(style.exclude_keys), style.item_sep, style.kv_sep
    return lambda overrides: get_overrides_dirname(list(overrides), excluded, between, within)


def register_resolver(name: str, resolver: Callable[..., Any]) -> None:
    """Register ``resolver`` for ``${name:…}``. The documented method has another name in OmegaConf
    2.4 than in 2.3, where ``register_resolver`` is an older method."""
    register: Callable[..., None] = OmegaConf.register_resolver
    if "replace" not in inspect.signature(register).parameters:
        register = OmegaConf.register_new_resolver
    register(name, resolver, replace=True)
