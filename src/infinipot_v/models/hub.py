"""Where a checkpoint's files are: a local folder, the hub's cache, or the hub.

The hub's client tries for half a minute before it gives up, for every file. So it is asked once whether the hub can be
reached at all; if not, only the cache is looked at, as with HF_HUB_OFFLINE.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infinipot_v.nearest import did_you_mean
from infinipot_v.types import UserError

PATIENCE = 5.0
"""Seconds within which a connection to the hub must stand; not its answer. HF_HUB_ETAG_TIMEOUT raises it."""


@dataclass(frozen=True)
class Files:
    """The files of one checkpoint: `name` is a folder or a hub id.

    `where` are the keyword arguments that every loader of transformers takes to find the same files. `trouble` says why
    the hub is not asked, for a hub id that can come from the cache only.
    """

    name: str
    where: dict[str, Any] = field(default_factory=dict)
    trouble: str | None = None

    @classmethod
    def of(cls, name: str, revision: str | None = None) -> Files:
        """Find out where `name` is. Raises `UserError` when it can be neither a folder nor a hub id."""
        if len(name) > 1000 or "\0" in name:
            raise UserError(f"no checkpoint has such a name: {name:.60}...")
        name = os.path.expanduser(name)
        if os.path.exists(name) or name.startswith((".", "/", "~")):
            return cls(_folder(name, revision))
        _check_id(name)
        where: dict[str, Any] = {} if revision is None else {"revision": revision}
        trouble = _trouble()
        return cls(name, {**where, "local_files_only": True} if trouble else where, trouble)

    @property
    def local(self) -> bool:
        """Whether it is a folder."""
        return os.path.isdir(self.name)

    def path(self, file: str) -> Path | None:
        """A file's place on this machine, downloaded first if need be; None when the checkpoint has no such file."""
        if self.local:
            return Path(self.name, file) if Path(self.name, file).is_file() else None
        return self._from_hub(file)

    def json(self, file: str) -> dict[str, Any] | None:
        """The content of a JSON file, an object; None when the checkpoint has no such file."""
        path = self.path(file)
        if path is None:
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}): change its permissions") from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file} of {self.name} is damaged ({error}): download the checkpoint again") from error
        if not isinstance(content, dict):
            raise UserError(f"{file} of {self.name} is damaged (not an object): download the checkpoint again")
        return content

    def absent(self, what: str) -> UserError:
        """The error for `what` that must be there and is not: what to download, and where."""
        if self.trouble:
            return UserError(
                f"{what} of {self.name!r} is not on this machine (no such folder, not in the hub's cache), and "
                f"{self.trouble}: where there is a network run 'hf download {self.name}', or give a folder"
            )
        return UserError(f"{self.name} has no {what}: download the checkpoint again, with all its files")

    def _from_hub(self, file: str) -> Path | None:
        from huggingface_hub import errors, hf_hub_download

        page = f"https://huggingface.co/{self.name}"
        try:
            return Path(hf_hub_download(self.name, file, **self.where))
        except errors.LocalEntryNotFoundError as error:
            if self.trouble:
                return None
            raise self._failed(file, error) from error
        except errors.EntryNotFoundError:
            return None
        except errors.GatedRepoError as error:
            raise UserError(f"{self.name} is gated: accept its terms at {page}, then run 'hf auth login'") from error
        except errors.RevisionNotFoundError as error:
            raise UserError(f"{self.name} has no revision {self.where.get('revision')!r}: see {page}") from error
        except errors.RepositoryNotFoundError as error:
            raise UserError(
                f"no folder {self.name!r} here, and the hub knows no such checkpoint (or it is private: "
                "'hf auth login'): check the name"
            ) from error
        except (errors.HfHubHTTPError, OSError) as error:
            raise self._failed(file, error) from error

    def _failed(self, file: str, error: Exception) -> UserError:
        return UserError(f"{file} of {self.name} cannot be downloaded ({first_line(error)}): try again later")


def _folder(name: str, revision: str | None) -> str:
    path = Path(name)
    what = "does not exist" if not path.exists() else "is a file" if not path.is_dir() else None
    if what is None and not os.access(path, os.R_OK | os.X_OK):
        what = "may not be read"
    elif what is None and not (path / "config.json").is_file():
        what = "has no config.json"
    if what:
        raise UserError(f"the model folder {name} {what}: give a Hugging Face checkpoint folder or a hub id")
    if revision is not None:
        raise UserError(
            f"revision {revision!r} is for a hub id; {name} is a folder, which has one version: leave it out"
        )
    return name


def _check_id(name: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        meant = did_you_mean(name, ["pocket"])
        raise UserError(
            f"no folder {name!r} here, and no hub id is written so{meant or ':'} give a folder, or OWNER/NAME"
        ) from error


def _trouble() -> str | None:
    """Why the hub is not to be asked, or None."""
    from huggingface_hub import is_offline_mode

    if is_offline_mode():
        return "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set"
    reason = unreachable()
    return f"the hub cannot be reached ({reason})" if reason else None


def unreachable() -> str | None:
    """Why no connection to the hub can be made; None if it can.

    A connection that stands is enough, however slow the answer; so networks that are slow but work are not broken.
    The hub's own client is used: its proxies, certificates and endpoint count here too.
    """
    stands_or_failed, failures = threading.Event(), list[Exception]()

    def trace(event: str, info: object) -> None:
        if event.endswith("send_request_headers.started"):  # name, TCP and TLS are behind us
            stands_or_failed.set()

    def knock() -> None:
        from huggingface_hub import constants, get_session

        try:
            get_session().head(constants.ENDPOINT, timeout=patience, extensions={"trace": trace})
        except Exception as error:
            failures.append(error)
        stands_or_failed.set()

    patience = max(PATIENCE, float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or 0))
    threading.Thread(target=knock, daemon=True).start()
    answered = stands_or_failed.wait(patience)
    kinds = {kind.__name__ for error in failures for kind in type(error).__mro__}
    if not answered or "ConnectTimeout" in kinds:  # our clock or the client's, whichever is first
        return f"no connection within {patience:g} s; if the network is slow, set HF_HUB_ETAG_TIMEOUT=30"
    return first_line(failures[0]) if "ConnectError" in kinds else None


def first_line(error: BaseException) -> str:
    """What an error says first; its kind, if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
