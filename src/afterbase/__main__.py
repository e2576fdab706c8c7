"""`python -m afterbase`, which is also how `torchrun -m afterbase run RECIPE` starts it."""

from afterbase.cli.main import main

main()
