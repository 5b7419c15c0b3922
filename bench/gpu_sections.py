"""The sections of ``bench.gpu``: each measures on a device and says its rows as it goes."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.contestants import Job, composed, words_of
from bench.side_by_side import ROOT, machine, missing, versions
from bench.stacked import LEARNING_RATES, train_vmap

if TYPE_CHECKING:
    from torch import Tensor

    from exprun.training.training import Training

MEMBERS = (1, 16, 64, 256, 1024, 4096)
DIGITS, MNIST, TINY = "digits-32", "mnist-128", "tiny-16"
FOREVER = 10**6
"""Epochs of a training that is interrupted when it has been measured."""
WARM_UP = 4
"""Epochs until everything is recorded: the last batch, of its own size, comes once in an epoch."""


@dataclass(frozen=True)
class Options:
    """``until`` is the ``time.monotonic()`` to stop at; ``say`` writes a line of Markdown."""

    device: str
    quick: bool
    until: float
    say: Callable[[str], None]

    @property
    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()

    @property
    def cuda(self) -> bool:
        return self.device.startswith("cuda")

    def row(self, *cells: object) -> None:
        self.say(f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |")

    def head(self, *cells: str) -> None:
        self.row(*cells)
        self.row("---", *["--:"] * (len(cells) - 1))

    def tried(self, first: str, measured: Callable[[], Sequence[object]]) -> None:
        """A row that begins with ``first``; if it cannot be measured, it says why."""
        if self.left <= 0:
            self.row(first, "out of time")
            return
        try:
            self.row(first, *measured())
        except Exception as error:
            self.row(first, f"failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
            free_memory(self.device)


# ------------------------------------------------------------------------------ on the device


def wait_for(device: str) -> None:
    """Until the device has done all that was started on it."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def free_memory(device: str) -> None:
    import gc

    import torch

    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def seconds_of(call: Callable[[], object], device: str, seconds: float) -> float:
    """Of one call: the median of five turns that together take about so many seconds."""

    def turn(calls: int) -> float:
        wait_for(device)
        began = time.perf_counter()
        for _ in range(calls):
            call()
        wait_for(device)
        return (time.perf_counter() - began) / calls

    turn(3)
    calls = max(1, int(seconds / 5 / turn(3)))
    return median(turn(calls) for _ in range(5))


def config_of(case: str, *words: str) -> dict[str, Any]:
    from exprun.config.schema import plain

    job = Job(case, "adam", FOREVER)
    config: dict[str, Any] = plain(composed([*words_of(job), "trainer.threads=1", *words]))
    return config


def built(config: dict[str, Any], number: int = 0) -> Training:
    """The training of a sweep of learning rates and seeds with this number."""
    from exprun.build import mlp

    lr = LEARNING_RATES[number % len(LEARNING_RATES)]
    return mlp(config | {"seed": number, "optimizer": config["optimizer"] | {"lr": lr}})


def stack_on_a_cpu_too() -> None:
    """exprun does not, where it saves nothing; here it shows that it works."""
    from exprun.fit import stack

    stack.STACKED_ON = ("cuda", "cpu")


# ------------------------------------------------------------------------------ the machine


def say_machine(o: Options) -> None:
    import torch

    o.say(f"- {machine()}")
    packages = ("torch", "numpy", "jax", "jaxlib", "optax", "hydra-core", "omegaconf")
    o.say(f"- {versions(*packages)}")
    if o.cuda:
        card = torch.cuda.get_device_properties(o.device)
        asked = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        driver = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        o.say(f"- {card.name}, {card.total_memory / 2**30:.0f} GiB, driver: {driver}")
        o.say(f"- CUDA {torch.version.cuda}, compute capability {card.major}.{card.minor}")
    side, numbers = (512, 2**20) if o.quick else (8192, 2**28)
    a, b = torch.randn(2, side, side, device=o.device)
    product = seconds_of(lambda: a @ b, o.device, min(3.0, o.left / 4))
    o.say(f"- product of {side} × {side}, float32: {2 * side**3 / product / 1e12:.2f} TFLOP/s")
    source = torch.randn(numbers, device=o.device)
    target = torch.empty_like(source)
    copy = seconds_of(lambda: target.copy_(source), o.device, min(2.0, o.left / 4))
    o.say(f"- copy, read and written: {2 * source.nbytes / copy / 1e9:.0f} GB/s")


# ------------------------------------------------------------------------------ the suite's tests


def run_tests(o: Options) -> None:
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_cuda.py"]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    lines = done.stdout.strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    o.say("\n".join(["```", *failed, *lines[-1:], "```"]))
    if done.returncode:
        o.say("\n".join(["```", *lines[-60:], *done.stderr.splitlines()[-5:], "```"]))


# ------------------------------------------------------------------------------ equal results

TECHNIQUES = (
    "optimizer=adam",
    "optimizer=sgd optimizer.momentum=0.9",
    "optimizer=momentum",
    "optimizer=rmsprop",
    "optimizer=adagrad",
    "optimizer=nadam",
    "norm=batch",
    "norm=layer",
    "reg=dropout",
    "reg=[l1,l2,max_norm]",
    "averaging=ema",
    "data=diabetes",
    "optimizer=lbfgs",
)


@functools.cache
def technique(words: str) -> dict[str, Any]:
    """The config of a technique on digits, unless told otherwise."""
    from exprun.config.schema import plain

    config: dict[str, Any] = plain(composed(["data=digits", "stopping=none", *words.split()]))
    return config


def training_of(
    words: str, device: str, engine: str = "auto", seed: int = 0, epochs: int = 3
) -> Training:
    from exprun.build import mlp

    trainer = {"max_epochs": epochs, "threads": 1, "engine": engine}
    return mlp(technique(words) | {"device": device, "seed": seed, "trainer": trainer})


def techniques(o: Options) -> Sequence[str]:
    return ["data=iris"] if o.quick else TECHNIQUES


def flat(training: Training) -> Tensor:
    """All weights of a training as one vector on the CPU, float64."""
    import torch

    return torch.cat([w.detach().flatten().double().cpu() for w in training.model.parameters()])


def difference(a: Tensor, b: Tensor) -> str:
    """``bits``, or ‖a - b‖ / ‖b‖."""
    return "bits" if a.equal(b) else f"{float((a - b).norm() / b.norm()):.1e}"


def fitted(training: Training) -> Tensor:
    from exprun.fit.loop import fit

    fit(training)
    return flat(training)


def stacked(trainings: Sequence[Training]) -> list[Tensor]:
    """The weights of trainings that were trained as one."""
    from exprun.fit.stack import Member, fit_stack
    from exprun.training.callbacks import Outcome

    weights: dict[int, Tensor] = {}

    def member(number: int, training: Training) -> Member:
        def done(outcome: Outcome) -> None:
            assert str(outcome.engine).startswith("stacked"), outcome.engine
            weights[number] = flat(training)

        return Member(training, [], done, raise_)

    fit_stack(iter([member(*pair) for pair in enumerate(trainings)]), len(trainings))
    return [weights[number] for number in range(len(trainings))]


def raise_(error: Exception) -> None:
    raise error


def compare_results(o: Options) -> None:
    stack_on_a_cpu_too()
    o.head("", "again", "replay, plain loop", "stack of 4, alone", "CPU, native engine")
    for words in techniques(o):
        replays = "lbfgs" not in words

        def measured(words: str = words, replays: bool = replays) -> list[str]:
            def trained(engine: str, seed: int = 0) -> Tensor:
                return fitted(training_of(words, o.device, engine, seed))

            plain = trained("plain")
            row = [difference(trained("plain"), plain)]
            row.append(difference(trained("replay"), plain) if replays else "not replayed")
            if replays:
                together = stacked([training_of(words, o.device, "replay", i) for i in range(4)])
                alone = [plain, *(trained("replay", i) for i in range(1, 4))]
                worst = max(zip(together, alone, strict=True), key=lambda ab: distance(*ab))
                row.append(difference(*worst))
            else:
                row.append("not stacked")
            return [*row, difference(plain, fitted(training_of(words, "cpu")))]

        o.tried(f"`{words}`", measured)


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm())


# ------------------------------------------------------------------------------ checkpoints


def resume_elsewhere(o: Options) -> None:
    """Half of a training here, the other half there, against all of it in one place."""
    from exprun.fit.loop import fit
    from exprun.record import checkpoint

    def half_and_half(words: str, first: str, second: str) -> Tensor:
        begun = training_of(words, first, epochs=6)
        begun.pause_epoch = 3
        fit(begun)
        with tempfile.TemporaryDirectory() as folder:
            checkpoint.save(Path(folder), begun.state_dict())
            state = checkpoint.load(Path(folder) / "checkpoints" / checkpoint.LAST)
        continued = training_of(words, second, epochs=6)
        continued.load_state_dict(state)
        return fitted(continued)

    def whole(words: str, device: str) -> Tensor:
        return fitted(training_of(words, device, epochs=6))

    gpu = o.device
    o.head("", f"{gpu} → {gpu}, all {gpu}", f"CPU → {gpu}, all CPU", f"{gpu} → CPU, all CPU")
    for words in techniques(o):

        def measured(words: str = words) -> list[str]:
            here, on_cpu = whole(words, gpu), whole(words, "cpu")
            return [
                difference(half_and_half(words, gpu, gpu), here),
                difference(half_and_half(words, "cpu", gpu), on_cpu),
                difference(half_and_half(words, gpu, "cpu"), on_cpu),
            ]

        o.tried(f"`{words}`", measured)


# ------------------------------------------------------------------------------ real commands

COMMANDS = (
    "trainer.max_epochs=3 diagnostics=full device={device}",
    "trainer.max_epochs=3 norm=batch reg=[l2,dropout] optimizer=nadam device={device}",
    "-m trainer.max_epochs=3 seed=range(8) optimizer.lr=0.001,0.01 device={device}",
    "-m trainer.max_epochs=2 data=digits,iris optimizer=sgd,lbfgs device={device}",
)


def run_commands(o: Options) -> None:
    o.head("exprun …", "exit code", "s", "jobs", "device and engine", "test accuracy")
    for words in COMMANDS[: 1 if o.quick else None]:

        def measured(words: str = words) -> list[object]:
            chosen = words.format(device=o.device).split()
            with tempfile.TemporaryDirectory() as folder:
                began = time.perf_counter()
                done = subprocess.run(
                    [sys.executable, "-m", "exprun", *chosen],
                    cwd=folder,
                    capture_output=True,
                    text=True,
                    timeout=o.left,
                    check=False,
                )
                seconds = time.perf_counter() - began
                found = sorted(Path(folder).rglob("result.json"))
                results = [json.loads(path.read_text()) for path in found]
            if done.returncode:
                return [done.returncode, f"{seconds:.1f}", len(results), done.stderr[-400:]]
            engines = sorted({f"{r['device']}: {r['engine']}" for r in results})
            accuracies = [r["metrics"]["test_accuracy"] for r in results]
            span = f"{min(accuracies):.3f} – {max(accuracies):.3f}"
            return [0, f"{seconds:.1f}", len(results), "; ".join(engines), span]

        o.tried(f"`{words.format(device=o.device)}`", measured)


# ------------------------------------------------------------------------------ speed and memory


class Stamps:
    """The times of a training's ends of epochs, and whether it has been measured for long
    enough."""

    def __init__(self, seconds: float, until: float, device: str) -> None:
        self.seconds, self.until, self.device = seconds, until, device
        self.began = time.monotonic()
        self.times: list[float] = []

    def __call__(self) -> None:
        wait_for(self.device)
        self.times.append(time.monotonic())

    def enough(self) -> bool:
        """After the seconds that were asked for and three epochs that count; or it is too late."""
        now = time.monotonic()
        if now > self.until:
            return True
        return len(self.times) >= WARM_UP + 3 and now - self.times[WARM_UP - 1] > self.seconds

    @property
    def setup(self) -> float:
        """Seconds from the beginning to the end of the first epoch."""
        return self.times[0] - self.began if self.times else float("nan")

    @property
    def epoch(self) -> float:
        """Seconds of an epoch with its evaluation, the median of those after the warm-up."""
        measured = self.times[WARM_UP - 1 :]
        if len(measured) < 2:
            raise TimeoutError(f"only {len(self.times)} epochs in its time")
        return median(later - earlier for earlier, later in pairwise(measured))


def stamped(stamps: Stamps) -> Any:
    from exprun.training.callbacks import Callback

    class Stamping(Callback):
        def on_epoch(self, training: Any, row: dict[str, float]) -> None:
            stamps()

    return Stamping()


def alone(case: str, device: str, engine: str, seconds: float, until: float) -> Stamps:
    from exprun.fit.loop import fit

    stamps = Stamps(seconds, until, device)
    training = built(config_of(case, f"device={device}", f"trainer.engine={engine}"))
    fit(training, [stamped(stamps)], stamps.enough)
    return stamps


def as_one(case: str, device: str, members: int, seconds: float, until: float) -> Stamps:
    """A stack of so many members, built, trained and interrupted."""
    from exprun.fit.stack import Member, fit_stack

    stamps = Stamps(seconds, until, device)
    config = config_of(case, f"device={device}", "trainer.engine=replay")
    trainings = [built(config, number) for number in range(members)]

    def member(number: int, training: Training) -> Member:
        callbacks = [] if number else [stamped(stamps)]
        return Member(training, callbacks, lambda outcome: None, raise_)

    fit_stack(iter([member(*pair) for pair in enumerate(trainings)]), members, stamps.enough)
    return stamps


def capacity_of(case: str, device: str, members: int) -> int:
    """How many of the members fit into the memory at once."""
    from exprun.fit.stack import capacity

    return capacity(built(config_of(case, f"device={device}")), members)


def native_worker(case: str, seconds: float, barrier: Any, rates: Any) -> None:
    """Send the epochs a second of a training by the native engine, beside others, or why not."""
    try:
        barrier.wait()
        rates.put(1 / alone(case, "cpu", "native", seconds, float("inf")).epoch)
    except Exception as error:
        rates.put(f"{type(error).__name__}: {error}")


def on_all_cores(case: str, seconds: float, processes: int, patience: float) -> float:
    """Epochs a second of as many processes on the CPU."""
    context = get_context("spawn")
    barrier, rates = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(target=native_worker, args=(case, seconds, barrier, rates), daemon=True)
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    try:
        found = [rates.get(timeout=patience) for _ in workers]
        if why := [rate for rate in found if isinstance(rate, str)]:
            raise RuntimeError(why[0])
        return float(sum(found))
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


class MeasuredEnough(Exception):
    """Ends JAX's training."""


def jax_worker(case: str, members: Sequence[int], seconds: float, until: float, pipe: Any) -> None:
    """Send, for each number of members, seconds of an epoch and bytes at the peak, or why not."""
    for k in members:
        stamps = Stamps(seconds, until, "cpu")  # train_vmap waits itself

        def stamp(stamps: Stamps = stamps) -> None:
            stamps()
            if stamps.enough():
                raise MeasuredEnough

        try:
            import jax

            jax.config.update("jax_default_matmul_precision", "float32")
            rates = LEARNING_RATES
            jobs = [Job(case, "adam", FOREVER, rates[i % 8], i // 8 % 8) for i in range(k)]
            try:
                train_vmap(jobs, stamp)
            except MeasuredEnough:
                statistics = jax.local_devices()[0].memory_stats() or {}
                pipe.send((stamps.epoch, statistics.get("peak_bytes_in_use", 0)))
        except Exception as error:
            pipe.send(f"{type(error).__name__}: {' '.join(str(error).split())[:100]}")


def with_jax(
    case: str, members: Sequence[int], o: Options, seconds: float, patience: float
) -> dict[int, tuple[float, int] | str]:
    """Seconds of an epoch and bytes at the peak of JAX's vmap and scan, or why there are none."""
    if why := missing(["jax", "optax"]):
        return dict.fromkeys(members, why)
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    os.environ["JAX_PLATFORMS"] = "cuda" if o.cuda else "cpu"
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    until = time.monotonic() + patience
    words = (case, members, seconds, until, theirs)
    worker = context.Process(target=jax_worker, args=words, daemon=True)
    worker.start()
    theirs.close()
    found: dict[int, tuple[float, int] | str] = dict.fromkeys(members, "out of time")
    try:
        for k in members:
            if not ours.poll(max(0.0, until + 5 - time.monotonic())):
                break
            found[k] = ours.recv()
    except EOFError:
        pass
    finally:
        worker.kill()
        worker.join()
    return found


def race(o: Options, case: str) -> None:
    """Two tables: trainings one after another, and stacks of growing size beside JAX's."""
    from exprun.common.threads import cores

    case = TINY if o.quick else case
    stack_on_a_cpu_too()
    job = Job(case, "adam", 1)
    weights = sum(a * b for a, b in pairwise(job.sizes))
    operations = 6 * weights * job.batch_size
    each = 0.05 if o.quick else 4.0
    sizes = (1, 3) if o.quick else MEMBERS
    o.say(
        f"{'-'.join(map(str, job.sizes))}, {job.batch_size} rows a batch, {job.iterations} "
        "iterations an epoch, Adam, float32. In an iteration a member takes "
        f"{operations / 1e6:.1f} million floating-point operations in products.\n"
    )
    o.head("one after another", "s an epoch", "µs an iteration", "member-iterations/s", "TFLOP/s")
    reference: dict[str, float] = {}

    def rate(name: str, epochs_per_second: float) -> list[str]:
        reference[name] = epochs_per_second * job.iterations
        iteration = 1e6 / reference[name]
        flops = f"{reference[name] * operations / 1e12:.3f}"
        return [
            f"{1 / epochs_per_second:.4f}",
            f"{iteration:.1f}",
            f"{reference[name]:,.0f}",
            flops,
        ]

    def solo(engine: str) -> float:
        return 1 / alone(case, o.device, engine, each, o.until).epoch

    n = 1 if o.quick else cores()
    on_device, on_cpu = f"{o.device}, replay", f"CPU, native engine, {n} processes"
    o.tried(f"{o.device}, plain loop", lambda: rate("plain", solo("plain")))
    o.tried(on_device, lambda: rate(on_device, solo("replay")))
    o.tried("CPU, native engine, 1 process", lambda: rate("one", on_all_cores(case, each, 1, 60)))
    if n > 1:
        o.tried(on_cpu, lambda: rate(on_cpu, on_all_cores(case, each, n, 90)))
    o.say("")
    jax = with_jax(case, sizes, o, each / 2, 0.35 * o.left)
    o.head(
        "members", "at once", "s to the end of the first epoch", "s an epoch",
        "member-iterations/s", "TFLOP/s", "× one after another", "× CPU, all processes",
        "× JAX vmap", "KiB a member", "JAX: KiB a member",
    )  # fmt: skip

    def stack_of(k: int) -> list[str]:
        import torch

        free_memory(o.device)
        at_once = capacity_of(case, o.device, k)
        before = torch.cuda.memory_allocated(o.device) if o.cuda else 0
        stamps = as_one(case, o.device, k, each, o.until)
        speed = at_once * job.iterations / stamps.epoch
        peak = torch.cuda.max_memory_allocated(o.device) - before if o.cuda else 0
        others = jax[k]
        theirs, bytes_ = (0.0, 0) if isinstance(others, str) else others

        def times(other: float | None) -> str:
            return f"{speed / other:.2f}" if other else "–"

        return [
            str(at_once),
            f"{stamps.setup:.1f}",
            f"{stamps.epoch:.4f}",
            f"{speed:,.0f}",
            f"{speed * operations / 1e12:.3f}",
            times(reference.get(on_device)),
            times(reference.get(on_cpu) or reference.get("one")),
            times(k * job.iterations / theirs) if theirs else str(others),
            f"{peak / at_once / 1024:,.0f}" if peak else "–",
            f"{bytes_ / k / 1024:,.0f}" if bytes_ else "–",
        ]

    for k in sizes:
        o.tried(f"{k}", lambda k=k: stack_of(k))  # type: ignore[misc]
        free_memory(o.device)


# ------------------------------------------------------------------------------ CUDA graphs


def launches(o: Options) -> None:
    """An iteration by its three ways: eager, replayed, and replayed as a CUDA graph."""
    stack_on_a_cpu_too()
    o.head(
        "µs an iteration", "operations", "eager", "replayed", "as a CUDA graph", "equal to replay"
    )
    for case in (TINY,) if o.quick else (DIGITS, MNIST):
        for k in (1, 2) if o.quick else (1, 16, 256, 1024):
            name = f"{case.partition('-')[0]}, {'alone' if k == 1 else f'stack of {k}'}"
            o.tried(name, lambda case=case, k=k: iteration_of(o, case, k))  # type: ignore[misc]
            free_memory(o.device)


def iteration_of(o: Options, case: str, members: int) -> list[object]:
    import torch

    from exprun.engine.replay import ReplayedTraining
    from exprun.fit.loop import batches, iterate, new_order, with_penalties
    from exprun.fit.stack import Stack

    seconds = 0.05 if o.quick else 1.0
    config = config_of(case, f"device={o.device}", "trainer.engine=replay")
    trainings = [built(config, number) for number in range(members)]
    x, y = (block[0] for block in next(batches(trainings[0], new_order(trainings[0]))))
    if members == 1:
        replay = ReplayedTraining(trainings[0], with_penalties).replay
        eager: Callable[[], object] = lambda: iterate(trainings[0], x, y, 0)  # noqa: E731
    else:
        stack = Stack(trainings)
        x, y = torch.stack([x] * members), torch.stack([y] * members)
        replay = stack.replay
        eager = lambda: stack._iterate(x, y)  # noqa: E731
    for number in range(3):  # the optimizers' states, and two recordings
        replay(x[None], y[None], number)
    program = replay.programs[x.shape]
    rates = [[group["lr"] for group in replay._groups()]]

    def replayed() -> None:
        program.run(x[None], y[None], rates)

    measured: list[object] = [
        len(program.operations),
        *(f"{1e6 * seconds_of(call, o.device, seconds):.0f}" for call in (eager, replayed)),
    ]
    if not o.cuda:
        return [*measured, "needs a GPU", "–"]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        replayed()
    measured.append(f"{1e6 * seconds_of(graph.replay, o.device, seconds):.0f}")
    return [*measured, same_after(trainings, replayed, graph.replay)]


def same_after(
    trainings: Sequence[Training], one: Callable[[], None], other: Callable[[], None]
) -> str:
    """Whether ten iterations by each from the same state end with the same weights."""
    states = [
        value for t in trainings for state in t.optimizer.state.values() for value in state.values()
    ]
    tensors = [w.data for t in trainings for w in t.model.parameters()] + states
    before = [tensor.clone() for tensor in tensors]
    ends = []
    for way in (one, other):
        for tensor, saved in zip(tensors, before, strict=True):
            tensor.copy_(saved)
        for _ in range(10):
            way()
        ends.append(flat(trainings[-1]))
    return difference(*ends)


@dataclass(frozen=True)
class Section:
    """``share`` is relative to the others' and ``meaning`` what its table holds."""

    title: str
    meaning: str
    share: float
    write: Callable[[Options], None]
    environment: Mapping[str, str] = field(default_factory=dict)


SECTIONS = {
    "machine": Section("Machine", "The card, and what it does at best.", 3, say_machine),
    "tests": Section("Tests", "`pytest tests/test_cuda.py`", 9, run_tests),
    "equality": Section(
        "Equal results",
        "Weights after three epochs: equal bits, or ‖a - b‖ / ‖b‖. Again: the same seed twice. "
        "Stack: the member that differs most from its run alone. In float32 a difference grows "
        "with the training that amplifies it.",
        6,
        compare_results,
    ),
    "resume": Section(
        "Checkpoints",
        "Three epochs in one place and three in another, from the file, against six in one place.",
        5,
        resume_elsewhere,
    ),
    "commands": Section("Commands", "As typed into a shell, in an empty folder.", 5, run_commands),
    "digits": Section("Stacks: digits", "", 16, lambda o: race(o, DIGITS)),
    "graphs": Section(
        "CUDA graphs",
        "exprun replays without them; what they would save of the same recorded operations.",
        6,
        launches,
    ),
    "mnist": Section(
        "Stacks: the shape of MNIST",
        "Made-up data: 784 features, 10 classes, 4096 rows.",
        16,
        lambda o: race(o, MNIST),
    ),
}
