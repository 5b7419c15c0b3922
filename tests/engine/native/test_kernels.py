"""The compiled kernels: functions in ulp, masks, sanitizers, and the same bits everywhere."""

from __future__ import annotations

import ctypes
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import special

from exprun.common.random_numbers import BLOCK, normal_of_uniform
from exprun.common.streams import MaskStream
from exprun.engine.native import library, random_numbers
from exprun.techniques.networks import Dropout, draw_mask
from tests.common.test_streams import PUBLISHED
from tests.engine.native import needs_native

pytestmark = needs_native

HERE = Path(__file__).parent
KERNELS = Path(__file__).parents[3] / "src" / "exprun" / "engine" / "native" / "kernels"

FLAGS = ["-std=gnu11", "-Wno-psabi", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
TARGETS = {
    "avx512": ["-mavx2", "-mfma", *(f"-mavx512{part}" for part in ("f", "bw", "dq", "vl"))],
    "avx2": ["-mavx2", "-mfma"],
}

# ------------------------------------------------------------------------------ functions


def apply(which: int, x: np.ndarray, target: int = 0) -> np.ndarray:
    y = np.empty_like(x)
    library.load().native_function(target, which, x.ctypes.data, y.ctypes.data, len(x))
    return y


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * special.ndtr(x)


def mish(x: np.ndarray) -> np.ndarray:
    return x * np.tanh(softplus(x))


FUNCTIONS: list[tuple[Callable[..., np.ndarray], float, float, float]] = [
    (np.exp, -87, 88, 1.0),
    (np.expm1, -30, 88, 1.5),
    (np.log, 1e-30, 1e30, 1.0),
    (softplus, -80, 80, 2.0),
    (special.expit, -80, 80, 2.6),
    (np.tanh, -12, 12, 2.5),
    (special.erf, -5, 5, 2.5),
]
"""Each with the interval looked at and its greatest error in ulp; its place is its number."""


@pytest.mark.parametrize("which", range(len(FUNCTIONS)), ids=lambda i: FUNCTIONS[i][0].__name__)
def test_errors_of_functions_in_ulp(which: int) -> None:
    """Against numpy's and scipy's in double precision, at a million places."""
    exact, low, high, bound = FUNCTIONS[which]
    rng = np.random.default_rng(0)
    x = rng.uniform(low, high, 500_000)
    if exact is np.log:
        x = np.exp(rng.uniform(np.log(low), np.log(high), 500_000))
    small = rng.uniform(-1, 1, 500_000) if low < 0 else rng.uniform(0.5, 2, 500_000)
    x = np.concatenate([x, small]).astype(np.float32)
    expected = exact(x.astype(np.float64))
    ulp = np.spacing(np.abs(expected).astype(np.float32)).astype(np.float64)
    error = np.abs(apply(which, x) - expected) / ulp
    assert error.max() <= bound, (x[error.argmax()], error.max())


@pytest.mark.parametrize(("which", "exact"), [(7, gelu), (8, mish)])
def test_gelu_and_mish(which: int, exact: Callable[..., np.ndarray]) -> None:
    """Products with a factor near 0, whose absolute error counts."""
    x = np.random.default_rng(0).uniform(-20, 20, 500_000).astype(np.float32)
    assert np.abs(apply(which, x) - exact(x.astype(np.float64))).max() < 2e-6


@pytest.mark.parametrize(
    ("which", "x", "y"),
    [
        (0, [0, -200, 200, -np.inf, np.inf], [1, 0, np.inf, 0, np.inf]),
        (1, [0, -200, -np.inf], [0, -1, -1]),
        (2, [1, 0, np.inf], [0, -np.inf, np.inf]),
        (3, [-200, 200, np.inf], [0, 200, np.inf]),
        (4, [0, -200, 200, -np.inf, np.inf], [0.5, 0, 1, 0, 1]),
        (5, [0, -50, 50, -np.inf, np.inf], [0, -1, 1, -1, 1]),
        (6, [0, -50, 50, -np.inf, np.inf], [0, -1, 1, -1, 1]),
    ],
)
def test_functions_at_their_ends(which: int, x: list[float], y: list[float]) -> None:
    assert apply(which, np.array(x, np.float32)).tolist() == y
    assert np.isnan(apply(which, np.array([np.nan], np.float32)))


# ------------------------------------------------------------------------------ masks


@pytest.mark.parametrize(("counter", "key", "words"), PUBLISHED)
def test_random_words_are_the_published_ones(counter, key, words) -> None:
    found = (ctypes.c_uint32 * 4)()
    given = (ctypes.c_uint32 * 4)(*counter), (ctypes.c_uint32 * 2)(*key)
    library.load().native_philox(*given, found)
    assert list(found) == words


@pytest.mark.parametrize(("rows", "units", "p"), [(16, 4, 0.5), (33, 7, 0.1), (1, 1, 0.9)])
def test_masks_are_those_of_the_torch_layer(rows: int, units: int, p: float) -> None:
    stream = MaskStream(2**62 + 12345)
    layers = [Dropout(p, stream) for _ in range(3)]
    stream.advance(1_000_003)
    expected = torch.empty(rows, units)
    draw_mask(expected, stream.iteration, stream.seed, layers[2].layer, p)
    wide = -(-rows // 16) * 16
    for target in range(len(library.targets())):
        mask = torch.empty(units, wide)
        library.load().native_masks(
            target, mask.data_ptr(), rows, units, p, stream.seed, 2, 1_000_003
        )
        assert torch.equal(mask[:, :rows].T, expected)


@pytest.mark.parametrize("p", [0.0, 0.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_other_engines_draw_the_same_masks_with_it(p: float, dtype: torch.dtype) -> None:
    iteration = torch.tensor(77)
    expected, found = torch.empty(33, 7, dtype=dtype), torch.empty(33, 7, dtype=dtype)
    draw_mask(expected, iteration, 2**62 + 12345, 2, p)
    random_numbers.draw_masks(found, iteration, 2**62 + 12345, 2, p)
    assert torch.equal(found, expected)


# ------------------------------------------------------------------------------ normal numbers


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.3, 0.7), (-2.0, 1e-3)])
def test_normal_numbers_are_those_without_the_library(mean: float, std: float) -> None:
    uniform = torch.rand(64_000, generator=torch.Generator().manual_seed(1))
    uniform[:3] = torch.tensor([0.0, 0.5, 1 - 2**-24])  # radii
    uniform[8:11] = torch.tensor([0.0, 0.25, 1 - 2**-24])  # angles
    expected = uniform.clone()
    normal_of_uniform(expected, mean, std)
    for target in range(len(library.targets())):
        found = uniform.clone()
        library.load().native_normal(target, found.data_ptr(), len(found) // BLOCK, mean, std)
        assert torch.equal(found, expected)


# ------------------------------------------------------------------------------ the same bits


def with_the_library(folder: Path) -> Path:
    """``every_kernel.c`` as a program that uses the library as it is installed."""
    program, library_file = folder / "installed", library.path()
    words = ["gcc", "-O1", f"-I{KERNELS}", HERE / "every_kernel.c", library_file, "-o", program]
    subprocess.run([*words, f"-Wl,-rpath,{library_file.parent}"], check=True)
    return program


def compiled(folder: Path, compiler: str, targets: dict[str, list[str]], *flags: str) -> Path:
    """``every_kernel.c`` as a program, compiled with the kernels."""
    common = [compiler, *FLAGS, *flags, f"-I{KERNELS}"]
    objects = []
    for name, options in targets.items():
        made = folder / f"{name}.o"
        source = str(KERNELS / "network.c")
        subprocess.run(
            [*common, *options, f"-DTARGET={name}", "-c", source, "-o", str(made)], check=True
        )
        objects.append(str(made))
    program = folder / "every_kernel"
    sources = [str(HERE / "every_kernel.c"), str(KERNELS / "native.c")]
    subprocess.run([*common, *sources, *objects, "-o", str(program), "-lpthread"], check=True)
    return program


def output(*command: object) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="its instruction sets")
needs_gcc = pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sanitizers = "-fsanitize=address,undefined", "-fno-sanitize-recover=all"
    return compiled(tmp_path_factory.mktemp("sanitized"), "gcc", TARGETS, "-g", "-O1", *sanitizers)


@x86
@needs_gcc
def test_every_kernel_under_sanitizers_with_all_instruction_sets_and_threads(
    sanitized: Path, tmp_path: Path
) -> None:
    """172 networks and normal numbers: no step outside of memory, nothing undefined; and hardly
    optimised, with any instruction set and number of threads they end with the same bits as the
    installed library."""
    expected = output(with_the_library(tmp_path), 0, 1)
    assert expected.count("\n") == 172 + 1
    assert "nan" not in expected
    for target in range(len(library.targets())):
        for threads in (1, 3):
            assert output(sanitized, target, threads) == expected


@x86
@needs_gcc
@pytest.mark.skipif(
    not (shutil.which("aarch64-linux-gnu-gcc") and shutil.which("qemu-aarch64")),
    reason="needs gcc-aarch64-linux-gnu and qemu-user",
)
def test_the_same_bits_on_arm(tmp_path: Path) -> None:
    expected = output(with_the_library(tmp_path), 0, 1)
    cross = "aarch64-linux-gnu-gcc"
    program = compiled(tmp_path, cross, {"neon": []}, "-O3", "-static")
    assert output("qemu-aarch64", program, 0, 1) == expected
