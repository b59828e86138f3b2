"""A hub of our own on this machine: serves checkpoint folders as the real one does, as far as loading asks."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class Hub(ThreadingHTTPServer):
    """`repos`: folder by (name, revision). `delay`: seconds before every answer. `asked`: what was asked for."""

    daemon_threads = True

    def __init__(self, repos: dict[tuple[str, str], Path], delay: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.repos, self.delay = repos, delay
        self.asked: list[str] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        time.sleep(self.server.delay)
        path = unquote(self.path.split("?")[0])
        self.server.asked.append(f"{self.command} {path}")
        name, _, rest = path.strip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        if path == "/":
            return self._send(b"welcome")
        if path.startswith("/api/models/"):
            return self._about(path)
        if name not in {known for known, _ in self.server.repos}:
            return self._send(b"", 404, "RepoNotFound")
        folder = self._folder(name, revision)
        if folder is None:
            return self._send(b"", 404, "RevisionNotFound")
        if not (folder / file).is_file():
            return self._send(b"", 404, "EntryNotFound", folder)
        return self._send((folder / file).read_bytes(), folder=folder)

    do_GET = do_HEAD

    def _about(self, path: str) -> None:
        """A repository's files: as a tree (of one level), or as a part of its description."""
        name, tree, rest = path.removeprefix("/api/models/").partition("/tree/")
        revision, _, below = rest.partition("/")
        if not tree:
            name, _, revision = name.partition("/revision/")
        folder = self._folder(name, revision or "main")
        if folder is None or below:
            return self._send(b"{}", 404, "EntryNotFound" if below else "RepoNotFound")
        files = sorted(folder.iterdir())
        as_tree = [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": f.name} for f in files]
        about = {"id": name, "sha": _commit(folder), "siblings": [{"rfilename": f.name} for f in files]}
        return self._send(json.dumps(as_tree if tree else about).encode())

    def _folder(self, name: str, revision: str) -> Path | None:
        by_commit = {(known, _commit(folder)): folder for (known, _), folder in self.server.repos.items()}
        return self.server.repos.get((name, revision)) or by_commit.get((name, revision))

    def _send(self, body: bytes, status: int = 200, error: str = "", folder: Path | None = None) -> None:
        self.send_response(status)
        headers = {"Content-Length": len(body), "ETag": f'"{hashlib.sha1(body).hexdigest()}"'}
        headers |= {"X-Repo-Commit": _commit(folder)} if folder else {}
        headers |= {"X-Error-Code": error} if error else {}
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _commit(folder: Path) -> str:
    return hashlib.sha1(str(folder).encode()).hexdigest()


@contextmanager
def serve(repos: dict[tuple[str, str], Path], delay: float = 0.0) -> Iterator[Hub]:
    """A running hub."""
    with Hub(repos, delay) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        yield hub
        hub.shutdown()
