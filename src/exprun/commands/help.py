"""``exprun --help``: the groups and their options, one line each, read from the YAML files.

The first comment line of an option's file is its line here, so that no second list has to be kept
up to date.
"""

from __future__ import annotations

import re
from pathlib import Path

from exprun.config.options import first_comment, groups, options
from exprun.config.paths import conf_dir

HEAD = """\
exprun: controlled experiments on how to train a neural network

  exprun [GROUP=OPTION] [KEY=VALUE] …     train once
  exprun -m KEY=VALUE,VALUE …             a sweep: every combination
  exprun -m hydra/launcher=local …        a process for each job
  exprun -m sweep.into=FOLDER …           more jobs for a sweep
  exprun problem=rosenbrock …             a test function in the plane, and its picture
  exprun compare SWEEP [--by KEY]         which is better, by how much, is that real
  exprun report SWEEP [--figures DIR]     a page of HTML with all figures, and these as files
  exprun plot RUN|SWEEP … [-o DIR]        curves and pictures for a slide
  exprun doctor RUN [--try]               what went wrong, and what to try
  exprun resume RUN_OR_SWEEP              go on exactly where it stopped; also --jobs 3,5-9
  exprun watch SWEEP                      the table of a sweep that others train
  exprun inspect FILE [--target COLUMN]   what a file holds, and the command to train on it
  exprun predict RUN FILE [-o OUT]        answers for new rows
  exprun evaluate RUN FILE                all figures on rows with a target
  exprun export RUN --format onnx         one file for others; also torch, safetensors
  exprun explain GROUP=OPTION             its equation, keys, slide; also GROUP, or a key
  tensorboard --logdir RUN                the curves; of a sweep: SWEEP/mean

Groups and their options, * marks the default:
"""

TAIL = """
Keys: those of the chosen options, with their values:   exprun --cfg job reg=l2
  'reg=[l2,dropout]'        several regularisers        seed=1
  model.hidden=[256,128]    layer sizes                 device=auto|cpu|cuda
  optimizer.lr=0.01         learning rate               trainer.max_epochs=100

Flags:
  -m, --multirun            sweep over all values that are separated by commas
  -c, --cfg job             show the config, train nothing
  -cd, --config-dir DIR     also look for options in DIR: DIR/optimizer/mine.yaml
  -sc install=bash          shell completion: eval "$(exprun -sc install=bash)"
  --hydra-help              Hydra's own flags
"""


def show_help(config_dir: str | None) -> None:
    """Print the help, including the options in the user's ``--config-dir``."""
    folders = [conf_dir(), *([Path(config_dir)] if config_dir else [])]
    defaults = _defaults(conf_dir() / "config.yaml")
    print(HEAD, end="")
    for group in dict.fromkeys([*defaults, *groups(folders)]):
        found = options(group, folders)
        if found:
            print(f"\n{group}")
        for name, path in found.items():
            mark = "*" if name in defaults.get(group, ()) else " "
            print(f"  {name + ' ' + mark:18} {first_comment(path)}")
    print(TAIL, end="")


def _defaults(path: Path) -> dict[str, list[str]]:
    """The groups of the defaults list in order, each with its chosen options."""
    entries = re.findall(r"^  - (\w+): (.*)$", path.read_text(), flags=re.MULTILINE)
    return {group: re.findall(r"\w+", chosen) for group, chosen in entries}
