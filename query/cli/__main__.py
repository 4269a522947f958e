"""`python -m query.cli` is `recq`."""

from query.cli.main import main

if __name__ == "__main__":
    main()
