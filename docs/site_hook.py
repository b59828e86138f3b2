"""Lets the site show what lies beside docs/ as well: the README is its first page, and links keep their meaning.

On the repository's pages a link is relative to the file it stands in, `docs/memory.md` or `../results/soak.json`. In
the site, docs/ is the root, and whatever else is linked is copied beside it under its own path. A link to a file that
does not exist stays as it is, and fails the build.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).parent.parent
PAGES = {"README.md": "index.md", **{name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")}}
"""Pages of the site that lie at the repository's root."""
LINK = re.compile(r"""(?P<before>\]\(<?|(?:src|srcset|href)=["'])(?P<target>[^\s)>"'#:]+)(?=[\s)>"'#])""")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages, then every other file of the repository that a page links to."""
    for path, place in PAGES.items():
        files.append(_file(config, path, place))
    for page in list(files.documentation_pages()):
        for target in _targets(page):
            place = _place(target)
            if (ROOT / target).is_file() and files.get_file_from_path(place) is None:
                files.append(_file(config, target, place))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Point links to where their targets are in the site."""
    return LINK.sub(lambda match: match["before"] + _moved(match["target"], page.file), markdown)


def _file(config: Any, path: str, place: str) -> File:
    return File.generated(config, place, abs_src_path=str(ROOT / path), inclusion=InclusionLevel.INCLUDED)


def _source(page: File) -> PurePosixPath:
    """The page's path in the repository."""
    return PurePosixPath(Path(page.abs_src_path).resolve().relative_to(ROOT).as_posix())


def _targets(page: File) -> list[str]:
    return [_inside(_source(page), match["target"]) for match in LINK.finditer(page.content_string)]


def _inside(source: PurePosixPath, target: str) -> str:
    """A link's target as a path in the repository."""
    parts: list[str] = []
    for part in (source.parent / target).parts:
        parts = parts[:-1] if part == ".." and parts else [*parts, part]
    return "/".join(parts)


def _place(target: str) -> str:
    """Where a file of the repository is in the site."""
    return PAGES.get(target, target.removeprefix("docs/"))


def _moved(target: str, page: File) -> str:
    inside = _inside(_source(page), target)
    if not (ROOT / inside).is_file():
        return target
    up = "../" * (len(PurePosixPath(page.src_uri).parts) - 1)
    return up + _place(inside)
