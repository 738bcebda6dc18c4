"""`python -m firstsight`, which is also what torchrun starts."""

from firstsight.cli.main import main

main()
