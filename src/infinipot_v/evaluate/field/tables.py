"""Records as the benchmarks ship them: JSON, JSON lines, CSV, or parquet (which needs pyarrow)."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from infinipot_v.types import UserError


def content_of(path: Path) -> Any:
    """The content of a file of records. Raises `UserError` for a damaged one, and for parquet without pyarrow."""
    try:
        if path.suffix == ".parquet":
            return _parquet(path)
        if path.suffix == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                return list(csv.DictReader(file))
        text = path.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines() if line] if path.suffix == ".jsonl" else json.loads(text)
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): download it again") from error


def _parquet(path: Path) -> list[Any]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise UserError("parquet files need pyarrow: pip install 'infinipot-v[eval]'") from error
    rows: list[Any] = parquet.read_table(path).to_pylist()
    return rows
