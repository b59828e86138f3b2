"""Writes the table of docs/verified.md from src/infinipot_v/verify/verified.json."""

from __future__ import annotations

from pathlib import Path

from infinipot_v.verify.ledger import table

PAGE = Path(__file__).with_name("verified.md")
BEGIN, END = "<!-- verified: begin -->\n", "<!-- verified: end -->\n"


def main() -> None:
    """Put the table between its two marks."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(before + BEGIN + table() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
