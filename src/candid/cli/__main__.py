"""`python -m candid.cli` is `candid`."""

from candid.cli import main

main()
