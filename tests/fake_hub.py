"""A Hugging Face Hub of a few repositories in memory, on this machine, for tests of downloads and uploads.

def test_something(monkeypatch, tmp_path):
    with serve(monkeypatch, tmp_path) as hub_server:
        hub_server.add("owner/model", {"config.json": b"{}"})
        DPRConfig.from_pretrained("owner/model")
        assert hub_server.requests[-1] == ("GET", "/owner/model/resolve/main/config.json")
"""

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = "hf_theOnlyTokenThisServerKnows"


class FakeHub:
    """The repositories and what was asked of them.

    Attributes:
        files: (repository, revision) -> {path in the repository: content}.
        private: repositories that need `TOKEN`.
        gated: repositories that nobody may read.
        requests: (method, path) of every request, in order.
        messages: the message of every commit.
        down: hang up on every request.
        url: address of the server.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[tuple[str, str], dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.gated: set[str] = set()
        self.requests: list[tuple[str, str]] = []
        self.messages: list[str] = []
        self.down = False

    def add(self, repo_id: str, files: dict[str, bytes], revision: str = "main") -> None:
        """Adds files to a repository, which is made if it is not there."""
        self.files.setdefault((repo_id, revision), {}).update(files)

    def add_folder(self, repo_id: str, folder: Path, revision: str = "main") -> None:
        """Adds every file below a local folder."""
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        self.add(
            repo_id, {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}, revision
        )

    def commit_of(self, repo_id: str, revision: str) -> str:
        """The 40 hexadecimal digits of a revision: they change with its content."""
        content = repr(sorted(self.files[repo_id, revision].items()))
        return hashlib.sha1(f"{repo_id} {revision} {content}".encode()).hexdigest()

    def branch_of(self, repo_id: str, revision: str) -> str | None:
        """The branch that a branch name or commit stands for."""
        branches = [branch for repo, branch in self.files if repo == repo_id]
        return next((b for b in branches if revision in (b, self.commit_of(repo_id, b))), None)


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if self.hub.down:
            self.hub.requests.append((self.command, path))
            self.connection.close()
            return
        self.hub.requests.append((self.command, path))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for pattern, answer in _ROUTES:
            if match := re.fullmatch(pattern, path):
                answer(self, body, **match.groupdict())
                return
        self._refuse(404, "", f"the fake hub does not know {path}")

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._send(
            status,
            json.dumps({"error": message}).encode(),
            {"X-Error-Code": code, "X-Error-Message": message},
        )

    def _json(self, content: object) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _may_read(self, repo: str) -> bool:
        """Answers with the Hub's refusal if the repository is absent or closed."""
        known = any(repo == name for name, _ in self.hub.files)
        if repo in self.hub.gated:
            self._refuse(403, "GatedRepo", f"Access to model {repo} is restricted")
        elif not known or (
            repo in self.hub.private and self.headers.get("Authorization") != f"Bearer {TOKEN}"
        ):
            self._refuse(404, "RepoNotFound", "Repository not found")
        else:
            return True
        return False

    def file(self, body: bytes, repo: str, revision: str, name: str) -> None:
        if not self._may_read(repo):
            return
        branch = self.hub.branch_of(repo, revision)
        if branch is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        commit, content = self.hub.commit_of(repo, branch), self.hub.files[repo, branch].get(name)
        if content is None:
            message = "Entry not found"
            headers = {"X-Error-Code": "EntryNotFound", "X-Error-Message": message, "X-Repo-Commit": commit}
            self._send(404, message.encode(), headers)
            return
        self._send(200, content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": commit})

    def create(self, body: bytes) -> None:
        wanted = json.loads(body)
        repo = "/".join(filter(None, (wanted.get("organization"), wanted["name"])))
        repo = repo if "/" in repo else f"me/{repo}"
        self.hub.files.setdefault((repo, "main"), {})
        if wanted.get("private") or wanted.get("visibility") == "private":
            self.hub.private.add(repo)
        self._json({"url": f"{self.hub.url}/{repo}", "name": repo, "id": "0"})

    def branch(self, body: bytes, repo: str, branch: str) -> None:
        self.hub.files[repo, branch] = dict(self.hub.files[repo, "main"])
        self._json({})

    def preupload(self, body: bytes, repo: str, revision: str) -> None:
        files = [
            {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
            for file in json.loads(body)["files"]
        ]
        self._json({"files": files})

    def commit(self, body: bytes, repo: str, revision: str) -> None:
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "header":
                self.hub.messages.append(line["value"]["summary"])
            else:
                content = base64.b64decode(line["value"]["content"])
                self.hub.add(repo, {line["value"]["path"]: content}, revision)
        commit = self.hub.commit_of(repo, revision)
        pull_request = f"{self.hub.url}/{repo}/discussions/1" if "create_pr=1" in self.path else None
        url = f"{self.hub.url}/{repo}/commit/{commit}"
        self._json({"success": True, "commitOid": commit, "commitUrl": url, "pullRequestUrl": pull_request})

    def validate(self, body: bytes) -> None:
        self._json({"errors": [], "warnings": []})

    def info(self, body: bytes, repo: str, revision: str = "main") -> None:
        if self._may_read(repo):
            branch = self.hub.branch_of(repo, revision)
            files = [{"rfilename": name} for name in self.hub.files[repo, branch]]
            self._json({"id": repo, "sha": self.hub.commit_of(repo, branch), "siblings": files, "tags": []})


_REPO = r"(?P<repo>[^/]+(?:/[^/]+)?)"
_ROUTES = (
    (r"/api/repos/create", _Handler.create),
    (r"/api/validate-yaml", _Handler.validate),
    (rf"/api/models/{_REPO}/branch/(?P<branch>.+)", _Handler.branch),
    (rf"/api/models/{_REPO}/preupload/(?P<revision>.+)", _Handler.preupload),
    (rf"/api/models/{_REPO}/commit/(?P<revision>.+)", _Handler.commit),
    (rf"/api/models/{_REPO}/revision/(?P<revision>.+)", _Handler.info),
    (rf"/api/models/{_REPO}", _Handler.info),
    (rf"/{_REPO}/resolve/(?P<revision>[^/]+)/(?P<name>.+)", _Handler.file),
)


@contextlib.contextmanager
def serve(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[FakeHub]:
    """Starts a hub and points `huggingface_hub` at it, with an empty cache of its own.

    Args:
        monkeypatch: undoes the redirection.
        cache: folder for downloads.
    """
    from huggingface_hub import constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {}))
    server.daemon_threads = True
    url = f"http://127.0.0.1:{server.server_port}"
    hub = server.RequestHandlerClass.hub = FakeHub(url)
    # The client reads its environment once, when it is imported: set what came of it.
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN_PATH", str(cache / "no-token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
