"""A small Hugging Face hub on this machine: the routes that the real client asks, over plain folders.

Files of at least `LARGE` bytes are announced with their SHA-256, as the hub does for LFS files.
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

LARGE = 4096


@dataclass
class Repository:
    """Files by revision name; a commit's hash follows from its content."""

    revisions: dict[str, Path]

    def commit(self, revision: str) -> str | None:
        for name, folder in self.revisions.items():
            digest = hashlib.sha1(f"{name}".encode())
            for path in files_of(folder):
                digest.update(path.encode() + (folder / path).read_bytes())
            if revision in (name, digest.hexdigest()):
                return digest.hexdigest()
        return None

    def folder(self, revision: str) -> Path:
        for name, folder in self.revisions.items():
            if revision in (name, self.commit(name)):
                return folder
        raise KeyError(revision)


@dataclass
class HubServer:
    """Serves `repositories` until it is closed."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    #: Every request, as `METHOD path?query [range]`.
    asked: list[str] = field(default_factory=list)
    #: Bytes of files that were sent, by path in the repository.
    sent: dict[str, int] = field(default_factory=dict)
    #: Models whose terms nobody has accepted: everybody sees what they hold, nobody gets it.
    gated: set[str] = field(default_factory=set)
    #: Called with the path and the first byte of every piece of a file before it is sent; what it returns is sent.
    change: object = None

    def __post_init__(self) -> None:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                server.answer(self)

            do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

            def do_POST(self) -> None:
                self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server.answer(self)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, request) -> None:
        span = request.headers.get("Range", "")
        self.asked.append(f"{request.command} {request.path} {span}".strip())
        parts = [unquote(part) for part in urlsplit(request.path).path.strip("/").split("/")]
        if parts[:2] == ["api", "models"]:
            self._api("/".join(parts[2:4]), parts[4:], request)
        elif len(parts) > 4 and parts[2] == "resolve":
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]), request, span)
        else:
            refuse(request, "EntryNotFound", "no such route")

    def _api(self, model_id: str, rest: list[str], request) -> None:
        repository = self.repositories.get(model_id)
        if repository is None:
            refuse(request, "RepoNotFound", "Repository not found")
            return
        what, revision = rest[:2] if rest else ("revision", "main")
        commit = repository.commit(revision)
        if commit is None:
            refuse(request, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        folder = repository.folder(revision)
        if what == "revision":
            siblings = [sibling(folder, path) for path in files_of(folder)]
            reply(
                request, {"id": model_id, "modelId": model_id, "sha": commit, "siblings": siblings}
            )
        elif what == "tree":
            below = "/".join(rest[2:])
            reply(request, tree(folder, below))
        else:
            refuse(request, "EntryNotFound", what)

    def _file(self, model_id: str, revision: str, path: str, request, span: str) -> None:
        if model_id in self.gated:
            refuse(request, "GatedRepo", "Access to this model is restricted")
            return
        repository = self.repositories[model_id]
        commit = repository.commit(revision)
        content = (repository.folder(revision) / path).read_bytes()
        first, last = 0, len(content) - 1
        if span:
            first, last = (int(number) for number in span.removeprefix("bytes=").split("-"))
        piece = content[first : last + 1]
        if self.change:
            piece = self.change(path, first, piece)
        request.send_response(206 if span else 200)
        request.send_header("Content-Length", str(len(piece)))
        request.send_header("X-Repo-Commit", commit)
        request.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        if span:
            request.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(piece)
            self.sent[path] = self.sent.get(path, 0) + len(piece)


def files_of(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


def sibling(folder: Path, path: str) -> dict[str, object]:
    content = (folder / path).read_bytes()
    found: dict[str, object] = {
        "rfilename": path,
        "size": len(content),
        "blobId": git_name(content),
    }
    if len(content) >= LARGE:
        digest = hashlib.sha256(content).hexdigest()
        found["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
    return found


def git_name(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def tree(folder: Path, below: str) -> list[dict[str, object]]:
    inside = folder / below
    return [
        {
            "type": "directory" if each.is_dir() else "file",
            "path": str(each.relative_to(folder)),
            "size": 0 if each.is_dir() else each.stat().st_size,
            "oid": "0" * 40,
        }
        for each in sorted(inside.iterdir())
    ]


def reply(request, content: object) -> None:
    data = json.dumps(content).encode()
    request.send_response(200)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(data)


def refuse(request, code: str, message: str) -> None:
    data = json.dumps({"error": message}).encode()
    request.send_response(404)
    request.send_header("X-Error-Code", code)
    request.send_header("X-Error-Message", message)
    request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    request.wfile.write(data)
