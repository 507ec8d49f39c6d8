"""`python -m qualitrace` is the command `qualitrace`."""

from qualitrace.cli import main

main(prog_name="qualitrace")
