"""Run segcli as ``python -m segcli``."""

from segcli.cli import main

main(prog_name="segcli")
