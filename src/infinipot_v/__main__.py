"""`python -m infinipot_v` is `infinipot-v`."""

from infinipot_v.cli import main

if __name__ == "__main__":
    main()
