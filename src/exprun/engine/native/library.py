"""Load the compiled library; its ctypes structures mirror ``kernels/native.h``."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_double, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from functools import cache
from importlib.util import find_spec
from pathlib import Path

NAME = "libexprun_native.so"


class Unavailable(Exception):
    """The native engine cannot be used on this machine; the text says why."""


class Hyper(ctypes.Structure):
    """The hyperparameters of a parameter group in one iteration."""

    _fields_ = [
        (name, c_double) for name in ("lr", "weight_decay", "eps", "beta1", "beta2", "decay")
    ]


class Parameter(ctypes.Structure):
    """A trained tensor with its optimizer state."""

    _fields_ = [
        ("w", c_void_p),
        ("state", c_void_p * 3),
        ("average", c_void_p),
        ("step", c_void_p),
        ("product", c_void_p),
        ("count", c_int64),
        ("group", c_int32),
        ("wide_step", c_int32),
        ("fresh", c_int32),
        ("rows", c_int32),
        ("l1", c_double),
        ("l2", c_double),
        ("max_norm", c_double),
    ]


class Layer(ctypes.Structure):
    """A linear layer with its normalisation, activation and dropout."""

    _fields_ = [
        ("weight", Parameter),
        ("bias", Parameter),
        ("scale", Parameter),
        ("shift", Parameter),
        ("running_mean", c_void_p),
        ("running_var", c_void_p),
        ("batches", c_void_p),
        ("inputs", c_int64),
        ("units", c_int64),
        ("eps", c_double),
        ("momentum", c_double),
        ("p", c_double),
        ("activation", c_int32),
        ("norm", c_int32),
        ("norm_after", c_int32),
        ("padding", c_int32),
    ]


class Rows(ctypes.Structure):
    """Inputs, dense or with one-hot columns as codes, and targets."""

    _fields_ = [
        ("x", c_void_p),
        ("ids", c_void_p),
        ("targets", c_void_p),
        ("weights", c_void_p),
        ("rows", c_int64),
        ("codes", c_void_p),
        ("places", c_void_p),
        ("columns", c_int64),
        ("numbers", c_int64),
    ]


class Network(ctypes.Structure):
    """A network with its loss and optimizer settings."""

    _fields_ = [
        ("layers", POINTER(Layer)),
        ("depth", c_int64),
        ("batch", c_int64),
        ("seed", c_uint64),
        ("label_smoothing", c_double),
        ("delta", c_double),
        ("average_decay", c_double),
        ("smoothing_classes", c_double),
        ("loss", c_int32),
        ("sum", c_int32),
        ("optimizer", c_int32),
        ("options", c_int32),
        ("groups", c_int32),
        ("threads", c_int32),
    ]


SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "native_open": (c_void_p, [POINTER(Network), ctypes.c_int]),
    "native_close": (None, [c_void_p]),
    "native_target": (ctypes.c_char_p, [ctypes.c_int]),
    "native_train": (
        c_int64,
        [c_void_p, POINTER(Rows), c_void_p, c_int64, c_int64, c_int64, c_void_p, ctypes.c_int],
    ),
    "native_evaluate": (None, [c_void_p, POINTER(Rows), c_void_p]),
    "native_outputs": (None, [c_void_p, POINTER(Rows), c_void_p]),
    "native_finite": (ctypes.c_int, [POINTER(Network)]),
    "native_saved": (c_int64, [POINTER(Network)]),
    "native_save": (None, [POINTER(Network), c_void_p]),
    "native_restore": (None, [POINTER(Network), c_void_p]),
    "native_function": (None, [ctypes.c_int, ctypes.c_int, c_void_p, c_void_p, c_int64]),
    "native_philox": (None, [c_uint32 * 4, c_uint32 * 2, c_uint32 * 4]),
    "native_masks": (
        None,
        [ctypes.c_int, c_void_p, c_int64, c_int64, c_double, c_uint64, c_int64, c_int64],
    ),
    "native_normal": (None, [ctypes.c_int, c_void_p, c_int64, ctypes.c_float, ctypes.c_float]),
    "native_size": (c_int64, [ctypes.c_int]),
}

MOST_GROUPS, MOST_THREADS = 16, 64
"""Maximum numbers of parameter groups and threads, as in ``kernels/network.h``."""

STRUCTURES = (Hyper, Parameter, Layer, Rows, Network)


def path() -> Path:
    """The path of the compiled library. Raises Unavailable if it was not built."""
    package = find_spec("exprun.engine.native")
    assert package
    for folder in package.submodule_search_locations or []:
        found = Path(folder) / NAME
        if found.exists():
            return found
    raise Unavailable("it was not built: there was no C compiler when exprun was installed")


@cache
def load() -> ctypes.CDLL:
    """The loaded library with typed functions. Raises Unavailable."""
    try:
        library = ctypes.CDLL(str(path()))
    except OSError as error:
        raise Unavailable(f"its library cannot be loaded: {error}") from error
    sizes = []
    if all(hasattr(library, name) for name in SIGNATURES):
        for name, (result, arguments) in SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        sizes = [library.native_size(i) for i in range(len(STRUCTURES))]
    if sizes != [ctypes.sizeof(structure) for structure in STRUCTURES]:
        raise Unavailable("its library was built from another version of exprun; install it again")
    if library.native_target(0) is None:
        raise Unavailable("this processor has no fused multiply-add for vectors")
    return library


def targets() -> list[str]:
    """Names of the instruction sets that both this processor and the library support, the widest
    first. Raises Unavailable."""
    library = load()
    names: list[str] = []
    while name := library.native_target(len(names)):
        names.append(name.decode())
    return names
