"""`python -m crymapd` is the `crymapd` command."""

from crymapd.cli.main import main

if __name__ == "__main__":
    main()
