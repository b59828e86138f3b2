"""`infinipot-v compare`: one paired difference, of the records that `eval` keeps."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from infinipot_v.cli.eval import fractions_of
from infinipot_v.cli.options import Json, flag
from infinipot_v.nearest import did_you_mean
from infinipot_v.types import UserError


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="POLICY or POLICY@SHARE, as in infinipot-v@1/16.")],
    b: Annotated[str, typer.Argument(metavar="B", help="What it is compared with.")],
    records: Annotated[Path, flag("FILE", "Records of infinipot-v eval.")] = Path("eval-results/pocket.jsonl"),
    delayed: Annotated[
        bool, flag(None, "Count all questions, not only those whose evidence is gone.", "--delayed/--no-delayed")
    ] = True,
    as_json: Json = False,
) -> None:
    """Paired difference of two contenders on the same questions, with its 95 % interval."""
    from dataclasses import asdict

    from infinipot_v.evaluate.records import read_records
    from infinipot_v.evaluate.statistics import paired_difference

    everything = [r for r in read_records(records) if r.delay > 0 or not delayed]
    own = [[r for r in everything if (r.policy, r.budget_fraction) == _contender(text)] for text in (a, b)]
    for text, found in zip((a, b), own, strict=True):
        if not found:
            known = sorted({f"{r.policy}@{Fraction(r.budget_fraction).limit_denominator(64)}" for r in everything})
            holds = f"among its {len(known)} contenders" if known else "nor of any other that counts"
            raise UserError(f"{records} has no records of {text!r} {holds}{did_you_mean(text, known)}")
    result = paired_difference(own[0], own[1], (a, b))
    if as_json:
        typer.echo(json.dumps(asdict(result)))
        return
    if result.items < 2:
        typer.echo(
            f"{a} minus {b}: {100 * result.difference:+.1f} points ({result.n} questions of one stream: no interval)"
        )
        return
    typer.echo(
        f"{a} minus {b}: {100 * result.difference:+.1f} points, 95 % interval {100 * result.low:+.1f} to "
        f"{100 * result.high:+.1f} ({result.n} questions, {result.items} streams)"
    )


def _contender(text: str) -> tuple[str, float]:
    policy, _, fraction = text.partition("@")
    return policy, float(fractions_of(fraction)[0]) if fraction else 1.0
