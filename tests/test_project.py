"""What stands beside the code keeps up with it: the reference, the site's pages, the citation."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

import infinipot_v
from infinipot_v.policies import policy_class, policy_names

ROOT = Path(__file__).parents[1]
REFERENCE = "\n".join(path.read_text() for path in sorted((ROOT / "docs" / "reference").glob("*.md")))


def entries() -> list[str]:
    return re.findall(r"^::: (\S+)$", REFERENCE, re.MULTILINE)


def test_every_public_name_has_its_place_in_the_reference():
    public = {f"infinipot_v.{name}" for name in infinipot_v.__all__ if name != "__version__"}
    assert public <= set(entries()) and len(entries()) == len(set(entries()))


def test_every_policy_has_its_place_in_the_reference():
    classes = [policy_class(name) for name in policy_names()]
    assert {f"{cls.__module__}.{cls.__name__}" for cls in classes} <= set(entries())


@pytest.mark.parametrize("noun", ["Answer", "MemoryReport"])
def test_every_field_is_explained(noun):
    explained = REFERENCE.split(f"::: infinipot_v.{noun}\n")[1].split(":::")[0]
    rows = [line.split("|")[1] for line in explained.splitlines() if line.startswith("| `")]
    assert re.findall("`(.*?)`", "".join(rows)) == [field.name for field in fields(getattr(infinipot_v, noun))]


def test_every_page_can_be_found():
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    named = set(re.findall(r"'([\w/-]+\.md)'", repr(site["nav"])))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages <= named


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == infinipot_v.__version__ and "2506.15745" in citation["preferred-citation"]["url"]
