"""What is asked wrongly gets one line and exit code 2, before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from exprun.config.hydra_internals import IS_1_3
from tests.command import Run

WRONG = [
    (["optimizer=adamm"], "optimizer=adamm: no such option; did you mean adam?"),
    (["optimzer=adam"], "optimzer: no such key; did you mean optimizer?"),
    (["optimizer.lrr=1"], "optimizer.lrr: no such key; did you mean lr?"),
    (["lr=1"], "lr: no such key; did you mean optimizer.lr?"),
    (["data=csv", "data.targt=y"], "data.targt: no such key; did you mean target?"),
    (["data=idx", "data.pathh=x"], "data.pathh: no such key; did you mean path?"),
    (["data=csv", "data.path=x", "lr=1"], "lr: no such key; did you mean optimizer.lr?"),
    (["data=csv", "data.path=x", "optimizer.file=1"], "optimizer.file: no such key (it has lr"),
    (["optimizer.lr=-1"], "optimizer.lr=-1: expected a number above 0"),
    (["reg.dropout.p=0.3"], "reg.dropout.p: reg=dropout is not chosen; add reg=dropout"),
    (["reg=[l2,dropuot]"], "reg=dropuot: no such option; did you mean dropout?"),
    (["reg=l2,dropout"], "several values are a sweep; expected exprun -m …"),
    (
        ["optimizer=sgd,adam"],
        "optimizer=sgd,adam: several values are a sweep",
    ),
    (["model.hidden=[100"], "cannot be read; expected a list of layer sizes of at least 1"),
    # what is advised is right when followed
    (
        ["data.target=my (col)"],
        "expected quotes around special characters: 'data.target=\"my (col)\"'",
    ),
    (
        ["data.drop=[a (b),c]"],
        'expected quotes around special characters: \'data.drop=["a (b)","c"]\'',
    ),
    (
        ['data.target=my "col" (b)'],
        """quotes around special characters: 'data.target='"'"'my "col" (b)""",
    ),
    (["'optimizer.lr=[\"a"], "cannot be read; expected a number above 0"),
    (["optimizer.lr='0.1"], "cannot be read; expected a number above 0"),
    (["optimizer.lr=a:b:c("], "cannot be read; expected a number above 0"),
    (["optimizer.lr=logspace(-3,-1,5)"], "there is no function logspace; expected values, like"),
    (["optimizer.lr=intervall(0,1)"], "there is no function intervall; did you mean interval?"),
    (["model.hidden=256,128"], "did you mean 'model.hidden=[256,128]'? (a sweep needs -m)"),
    (["optimizer.betas=0.9,0.99"], "did you mean 'optimizer.betas=[0.9,0.99]'? (a sweep needs -m)"),
    (
        ["optimizer.lr=0.1,0.2"],
        "optimizer.lr=0.1,0.2: several values are a sweep; expected exprun -m",
    ),
    # what others call it
    (["data=mnist"], "no such option; did you mean idx?"),
    (["device=gpu"], "did you mean cuda?"),
    (["init=kaiming"], "did you mean he?"),
    (["model.activation=swish"], "did you mean silu?"),
    (["optimizer=nag"], "did you mean nesterov?"),
    (["optimizer"], "'optimizer' is no command and not of the form key=value"),
    (["--mutirun"], "--mutirun: no such option; did you mean --multirun?"),
    (["--config-dir"], "--config-dir needs a value"),
    (["--config-dir", "nowhere"], "--config-dir: there is no folder"),
    (
        ["data=csv", "data.path=no.csv", "data.target=y"],
        "data.path=no.csv: expected a file or a folder that",
    ),
    (["-m", "optimizer.lr=0.1,-1"], "optimizer.lr=-1: expected a number above 0"),
    (["optimizer=null"], "optimizer=null: no such option"),
    (["~optimizer"], "optimizer has no _target_"),
    (["loss.delta=2"], "loss.delta: no such key; expected loss=huber"),
    (["OPTIMIZER=adam"], "OPTIMIZER: no such key; did you mean optimizer?"),
    (["hydra.foo=1"], "hydra.foo: no such key (it has run, sweep, launcher, "),
    (["hydra.job.chdir=true"], "hydra.job.chdir=true: paths are read from where you are"),
    (["-m", "hydra.sweep.subdir=x", "seed=1,2"], "jobs 0 and 1 would share the folder x"),
    (["-m", "seed=range(0)"], "the sweep asks for no job"),
    (["-m", "optimizer.lr=interval(0.1,1)"], "optimizer.lr=interval(0.1,1): an interval has no"),
    (["-m", "optimizer.lr=tag(a,interval(0.1,1))"], "an interval has no values to run one by one"),
    (["-m", "optimizer.lr=0.1,interval(0.1,1)"], "interval(0.1,1): interval(…) among other values"),
    (["-m", "seed=range(2),7"], "range(0,2,1) among other values; expected all of them one by one"),
    (["-m", "seed=range(2),7"], "like seed=0,1,7"),
    (["-m", "seed=7,range(3,1,-1)"], "like seed=7,3,2"),
    (["-m", "optimizer=sgd,glob(a*)"], "optimizer=sgd,glob(a*): glob(…) among other values"),
    *(  # Hydra 1.4 lists them: 0, 1 and 2
        [(["-m", "seed=int(range(0,3,0.5))"], "seed=int(range(0,3,0.5)): its values cannot be")]
        if IS_1_3
        else []
    ),
    (["-m", "seed=range(0,3,0)"], "seed=range(0,3,0): its values cannot be listed"),
    (["-m", "seed=range(0,1,0.0)"], "seed=range(0,1,0.0): its values cannot be listed"),
    (["optimizer.lr=${oc.env:NO_LR,0.01}"], "optimizer.lr='0.01' (text): expected a number above"),
    (
        ["-m", "optimizer.lr=${oc.env:NO_LR,0.01}"],
        """did you mean 'optimizer.lr="${oc.decode:${oc.env:NO_LR,0.01}}"', quotes included?""",
    ),
    (["-m", "optimizer.lr=${oc.env:NO_LR}"], "NO_LR"),
    (["+optimizer@second=sgd"], "second: nobody reads a group of that name"),
    (["+data@dta=iris"], "dta: nobody reads a group of that name; did you mean data?"),
    (["+optimizer@trainer.second=sgd"], "trainer.second: nobody reads a group of that name"),
    (["-m", "+optimizer@second=sgd,adam"], "second: nobody reads a group of that name"),
    (["+extra._target_=os.getcwd"], "extra: nobody reads a group of that name"),
    (["-m", "+hydra.job.env_set.LR=1"], "hydra.job.env_set: the jobs of a sweep share one"),
    (["-m", "norm=batch", "batching=minibatch,stochastic"], "a batch of one row has no variance"),
    (["--cfg", "foo"], "--cfg foo: expected job, hydra or all"),
    (["-m", "optimizer=adam,sdg"], "optimizer=sdg: no such option; did you mean sgd?"),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=lambda value: " ".join(value)[:40])
def test_mistakes_get_one_line_before_anything_is_written(
    words: list[str], message: str, exprun: Run, tmp_path: Path, without_torch: str
) -> None:
    done = exprun(*words, PYTHONPATH=without_torch)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not done.stdout
    assert not (tmp_path / "outputs").exists()


def test_mistakes_that_the_data_tell_leave_nothing_behind(exprun: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("a,b,y\n1,2,x\n2,red,z\n")
    done = exprun("data=csv", "data.path=bad.csv", "data.target=y")
    assert done.returncode == 2
    assert "bad.csv: row 3, column 'b': 'red' is not a number" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "outputs").exists()
    (tmp_path / "outputs").mkdir()
    assert exprun("data=csv", "data.path=bad.csv", "data.target=y").returncode == 2
    assert list((tmp_path / "outputs").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(exprun: Run, tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file")
    for words in ([], ["-m", "seed=1,2"]):
        done = exprun(*words)
        assert done.returncode == 2
        assert "dir=outputs/" in done.stderr
        assert "cannot be made" in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "text", ["lr: 0.1", "- a\n- b", "_target_: torch.optim.SGD\n\tlr: 1", "a: é".encode("latin-1")]
)
def test_broken_options_of_ones_own_get_one_line(
    text: str | bytes, exprun: Run, tmp_path: Path
) -> None:
    own = tmp_path / "own" / "optimizer" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = exprun("--config-dir", "own", "optimizer=mine")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "mine" in done.stderr or "optimizer" in done.stderr
    assert not (tmp_path / "outputs").exists()
    assert exprun("--help", "--config-dir", "own").returncode == 0
