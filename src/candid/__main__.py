"""`python -m candid` is `candid`."""

from candid.cli import main

main()
