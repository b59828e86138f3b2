"""`python -m infinipot_v.testing FAMILY FOLDER [--seed N]`: write a tiny random checkpoint."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from infinipot_v.testing.checkpoint import families, write_checkpoint
from infinipot_v.types import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 and the folder on standard output, or 2 and one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m infinipot_v.testing", description=__doc__)
    parser.add_argument("family", metavar="FAMILY", help=f"transformers' model_type: {', '.join(families())}")
    parser.add_argument("folder", metavar="FOLDER", help="written here; made when missing")
    parser.add_argument("--seed", type=int, default=0, help="of the random weights (default 0)")
    arguments = parser.parse_args(argv)
    try:
        folder = write_checkpoint(arguments.family, arguments.folder, seed=arguments.seed)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
