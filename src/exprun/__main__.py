"""Run the command line: ``python -m exprun`` is the same as ``exprun``."""

from exprun.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
