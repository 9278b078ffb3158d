"""`python -m nasrec` is `nasrec`."""

from nasrec.cli import main

main()
