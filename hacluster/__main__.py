"""`python3 -m hacluster` is `hactl`."""

from hacluster.cli.main import main

main()
