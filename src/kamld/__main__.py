"""`python -m kamld`: the same as the command `kamld`."""

from kamld.cli.main import main

main()
