"""Several commands of exprun one after another in one process, which imports its libraries once.

    python -m bench.commands < COMMANDS

COMMANDS is JSON: a list of lists of words. Ends with the first exit code that is not 0.
"""

from __future__ import annotations

import json
import sys

from exprun.cli import main

if __name__ == "__main__":
    for words in json.load(sys.stdin):
        if code := main(words):
            sys.exit(code)
