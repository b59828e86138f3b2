"""Who has verified what on real weights: the reports in verified.json, beside this file, and nothing else.

A report is what `infinipot-v verify --out FILE` writes, with the name of who ran it in `by`. docs/verified.md is made
from these reports (`python docs/verified_table.py`), and says how to send one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LEDGER = Path(__file__).with_name("verified.json")
ON_RANDOM = "exact on random weights"
NOBODY = "not verified on real weights by anybody yet"
COLUMNS = ("family", "checkpoint", "dtype", "device", "transformers", "torch", "infinipot-v", "checks", "by", "date")


def reports() -> list[dict[str, Any]]:
    """All reports that passed; one that failed has no place there, and is left out."""
    found: list[dict[str, Any]] = json.loads(LEDGER.read_text(encoding="utf-8"))["reports"]
    return [report for report in found if report.get("passed") is True]


def status(family: str) -> str:
    """What `infinipot-v models` says of a family."""
    own = [report for report in reports() if report["family"] == family]
    if not own:
        return f"{ON_RANDOM}; {NOBODY}"
    who = "; ".join(f"{report['checkpoint']} by {report['by']}" for report in own)
    return f"{ON_RANDOM}; verified on real weights: {who}"


def table() -> str:
    """The reports as a Markdown table; a sentence where there are none."""
    found = reports()
    if not found:
        return "Nobody has verified anything on real weights yet, ourselves included.\n"
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(str(cell) for cell in _cells(report)) + " |" for report in found]
    return "\n".join(lines) + "\n"


def _cells(report: dict[str, Any]) -> list[Any]:
    made = [check for check in report["checks"] if check["passed"] is not None]
    versions = report["versions"]
    return [
        report["family"], report["checkpoint"], report["dtype"], report["device"], versions["transformers"],
        versions["torch"], versions["infinipot-v"], f"{len(made)} of {len(report['checks'])}", report["by"],
        report["date"],
    ]  # fmt: skip
