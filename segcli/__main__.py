"""Run segcli as ``python -m segcli``."""

from segcli.cli import main

if __name__ == "__main__":  # not where a process that draws loads this module
    main(prog_name="segcli")
