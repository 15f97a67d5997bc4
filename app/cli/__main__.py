"""`python -m app.cli`, the command `alignmamba` where the package is not installed."""

from app.cli.command import main

if __name__ == "__main__":
    main()
