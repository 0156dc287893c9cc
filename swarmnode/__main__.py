"""`python -m swarmnode`: the command line."""

from swarmnode.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
