"""Default runs of the bundled data sets end with the bits that docs/bits.md lists."""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from tests.command import run_command
from tests.engine.native import needs_native

PAGE = (Path(__file__).parents[1] / "docs" / "bits.md").read_text()
(COMMAND,) = re.findall(r"^    exprun (-m .*)$", PAGE, re.MULTILINE)
LISTED = {name: sha for sha, name in re.findall(r"^    ([0-9a-f]{64})  (\S+)$", PAGE, re.MULTILINE)}

WITHOUT_VECTORS = {
    "ATEN_CPU_CAPABILITY": "default",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4",
}
"""The kernels of torch and numpy for a processor without AVX."""


@needs_native
@pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.4.0", reason="its sums had another order: docs/bits.md"
)
@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (["hydra/launcher=basic", "trainer.threads=2"], WITHOUT_VECTORS),
        pytest.param([], {}, marks=pytest.mark.long),
    ],
    ids=["two threads, kernels without AVX", "as it stands"],
)
def test_bundled_data_sets_end_with_the_listed_bits(words, environment, tmp_path: Path):
    done = run_command(tmp_path, *shlex.split(COMMAND), *words, **environment)
    assert done.returncode == 0, done.stderr
    found = {
        model.relative_to(tmp_path).as_posix(): hashlib.sha256(model.read_bytes()).hexdigest()
        for model in tmp_path.glob("bits/*/model.safetensors")
    }
    assert found == LISTED
    assert len(found) == len(re.split("[=,]", COMMAND.split()[1])) - 1
