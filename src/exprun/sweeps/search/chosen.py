"""The configuration that a search has chosen. Nothing here imports Hydra or torch."""

from __future__ import annotations

import json
from pathlib import Path

from exprun.common.errors import UsageError

SEARCH_FILE = "search.json"
"""The file of a search's rungs and choice, in the sweep's folder."""


def chosen_overrides(folder: Path) -> list[str]:
    """The overrides of the configuration that the search in ``folder`` has chosen, from its
    ``search.json``; empty for other sweeps, and for a search that has not ended."""
    path = folder / SEARCH_FILE
    if not path.is_file():
        return []
    try:
        chosen: list[str] = json.loads(path.read_text()).get("chosen", {}).get("overrides", [])
    except (ValueError, AttributeError):
        raise UsageError(f"{path}: is damaged; exprun resume {folder} writes it again") from None
    return chosen
