"""A Hugging Face hub on loopback for tests, as huggingface_hub and mlxd speak to it, that misbehaves on demand.

LFS files are served by a second server on another port, another host to a client, to which /resolve/ redirects; what
credentials each server was given is kept. Faults are taken from a list, each used once:

    hub.faults.append(("model.safetensors", "cut", 1000))     # close after 1000 bytes of the body
"""

import hashlib
import http.server
import json
import re
import socket
import sys
import threading
import time
import urllib.parse


class Repository:
    def __init__(self, files, lfs=(".safetensors",), gated=False, token=None, extra=None):
        self.files = dict(files)  # path -> bytes
        self.lfs = tuple(lfs)
        self.gated = gated  # only `token` may read
        self.token = token
        self.extra = extra or {}

    @property
    def commit(self):
        digest = hashlib.sha1()
        for path in sorted(self.files):
            digest.update(path.encode() + b"\0" + hashlib.sha1(self.files[path]).digest())
        return digest.hexdigest()

    def is_lfs(self, path):
        return path.endswith(self.lfs)

    def sha1(self, path):
        data = self.files[path]
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    def sha256(self, path):
        return hashlib.sha256(self.files[path]).hexdigest()

    def etag(self, path):
        return self.sha256(path) if self.is_lfs(path) else self.sha1(path)


class Seen:
    """A request: which server, method, path, Range and Authorization."""

    def __init__(self, server, handler):
        self.server = server
        self.method = handler.command
        self.path = urllib.parse.unquote(handler.path)
        self.range = handler.headers.get("Range")
        self.token = handler.headers.get("Authorization")
        self.agent = handler.headers.get("User-Agent", "")


class FixtureHub:
    def __init__(self, repositories):
        self.repositories = repositories
        self.old = {}  # (id, commit) -> Repository, of revisions before
        self.accounts = {}  # token -> name of its owner
        self.faults = []
        self.seen = []
        self.lock = threading.Lock()
        self.bytes_per_s = None  # of each body
        self.held = threading.Event()
        self.gone = False  # no answer goes on
        self.front = self._start("front")
        self.cdn = self._start("cdn")

    def _start(self, name, port=0):
        server = Server(("127.0.0.1", port), Handler)
        server.hub = self
        server.label = name
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    @property
    def url(self):
        return f"http://127.0.0.1:{self.front.server_port}"

    @property
    def cdn_url(self):
        return f"http://127.0.0.1:{self.cdn.server_port}"

    def close(self):
        self.held.set()
        if self.gone:
            return
        for server in (self.front, self.cdn):
            server.shutdown()
            server.server_close()

    def vanish(self):
        """Cuts every answer and listens no more; `come_back` listens at the same ports."""
        self.gone = True
        for server in (self.front, self.cdn):
            server.shutdown()
            server.server_close()
            server.cut_all()

    def come_back(self):
        self.gone = False
        self.front = self._start("front", self.front.server_port)
        self.cdn = self._start("cdn", self.cdn.server_port)

    def take_fault(self, path):
        with self.lock:
            for index, fault in enumerate(self.faults):
                if path.endswith(fault[0]):
                    return self.faults.pop(index)[1:]
        return ()

    def requests(self, end, server=None):
        with self.lock:
            return [each for each in self.seen
                    if each.path.split("?")[0].endswith(end) and server in (None, each.server)]


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.open = set()  # connections

    def process_request(self, request, client_address):
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self.open.discard(request)
        super().shutdown_request(request)

    def cut_all(self):
        for request in list(self.open):
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def handle_error(self, request, client_address):
        # Clients that are killed are what these tests are about.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        hub = self.server.hub
        with hub.lock:
            hub.seen.append(Seen(self.server.label, self))
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        query = urllib.parse.parse_qs(url.query)
        try:
            if self.server.label == "cdn":
                return self.send_blob(path)
            if path == "/api/whoami-v2":
                return self.send_account()
            if path == "/api/models":
                return self.send_search(query)
            if match := re.fullmatch(r"/api/models/(.+)/revision/(.+)", path):
                return self.send_info(*match.groups())
            if match := re.fullmatch(r"/api/models/(.+)/tree/([^/]+)", path):
                return self.send_tree(*match.groups())
            if match := re.fullmatch(r"/(.+)/resolve/([^/]+)/(.+)", path):
                return self.send_file(*match.groups())
            self.send_json({"error": "no such page"}, 404)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def send_json(self, value, status=200, headers=()):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, text in headers:
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code, message, headers=()):
        self.send_json({"error": message}, status,
                       [("X-Error-Code", code), ("X-Error-Message", message), *headers])

    def send_account(self):
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        name = self.server.hub.accounts.get(token)
        if name is None:
            return self.refuse(401, "", "Invalid credentials in Authorization header")
        return self.send_json({"type": "user", "name": name, "auth": {
            "type": "access_token", "accessToken": {"displayName": "laptop", "role": "read"}}})

    def find(self, name, revision):
        """The repository at that revision, or None after an answer that says why not."""
        hub = self.server.hub
        repository = hub.repositories.get(name)
        if repository is None:
            self.refuse(404 if self.headers.get("Authorization") else 401, "RepoNotFound", "Repository not found")
            return None
        if repository.gated and self.headers.get("Authorization") != f"Bearer {repository.token}":
            status = 403 if self.headers.get("Authorization") else 401
            self.refuse(status, "GatedRepo", f"Access to model {name} is restricted.")
            return None
        if revision in ("main", repository.commit):
            return repository
        if (name, revision) in hub.old:
            return hub.old[name, revision]
        self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return None

    def simple_fault(self, fault):
        """Answers for faults that are a status; True if it did."""
        if fault[:1] == ("status",):
            headers = [("Retry-After", str(fault[2]))] if len(fault) > 2 else []
            self.refuse(fault[1], "", "a fault on demand", headers)
            return True
        if fault[:1] == ("drop",):
            self.close_connection = True
            self.connection.close()
            return True
        return False

    def send_info(self, name, revision):
        if self.simple_fault(self.server.hub.take_fault("/revision/" + revision)):
            return
        repository = self.find(name, revision)
        if repository is None:
            return
        siblings = []
        for path, data in sorted(repository.files.items()):
            entry = {"rfilename": path, "size": len(data), "blobId": repository.sha1(path)}
            if repository.is_lfs(path):
                entry["lfs"] = {"sha256": repository.sha256(path), "size": len(data), "pointerSize": 134}
            siblings.append(entry)
        self.send_json({"id": name, "modelId": name, "sha": repository.commit, "private": False, "siblings": siblings,
                        "gated": "manual" if repository.gated else False, "tags": ["mlx", "license:apache-2.0"],
                        "downloads": 12, "likes": 3, "library_name": "mlx", "lastModified": "2026-01-02T03:04:05.000Z",
                        **repository.extra})

    def send_tree(self, name, revision):
        repository = self.find(name, revision)
        if repository is None:
            return
        tree = []
        for path, data in sorted(repository.files.items()):
            entry = {"type": "file", "path": path, "size": len(data), "oid": repository.sha1(path)}
            if repository.is_lfs(path):
                entry["lfs"] = {"oid": repository.sha256(path), "size": len(data), "pointerSize": 134}
            tree.append(entry)
        self.send_json(tree)

    def send_search(self, query):
        names = sorted(self.server.hub.repositories)
        text = query.get("search", [""])[0].lower()
        names = [name for name in names if text in name.lower()]
        if author := query.get("author", [""])[0]:
            names = [name for name in names if name.startswith(author + "/")]
        for tag in query.get("filter", []):
            if tag != "mlx":
                names = [name for name in names
                         if tag in self.server.hub.repositories[name].extra.get("tags", ())]
        begin = int(query.get("cursor", ["0"])[0])
        limit = int(query.get("limit", ["20"])[0])
        page = names[begin:begin + limit]
        headers = []
        if begin + limit < len(names):
            following = urllib.parse.urlencode({**{key: values[0] for key, values in query.items()},
                                                "cursor": begin + limit})
            headers = [("Link", f'<{self.server.hub.url}/api/models?{following}>; rel="next"')]
        self.send_json([{"id": name, "tags": ["mlx", "license:mit"], "downloads": 7, "likes": 1,
                         "lastModified": "2026-01-02T03:04:05.000Z", "usedStorage": 1000,
                         "config": {"model_type": "llama"}, **self.server.hub.repositories[name].extra} for name in page],
                       200, headers)

    def send_file(self, name, revision, path):
        repository = self.find(name, revision)
        if repository is None:
            return
        if path not in repository.files:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        headers = [("X-Repo-Commit", repository.commit)]
        if not repository.is_lfs(path):
            headers.append(("ETag", f'"{repository.sha1(path)}"'))
            return self.send_body(path, repository.files[path], headers)
        location = f"{self.server.hub.cdn_url}/{repository.sha256(path)}/{path}"
        self.send_response(302)
        for key, value in (*headers, ("Location", location), ("X-Linked-Etag", f'"{repository.sha256(path)}"'),
                           ("X-Linked-Size", str(len(repository.files[path]))), ("ETag", f'"{repository.sha1(path)}"'),
                           ("Content-Length", "0")):
            self.send_header(key, value)
        self.end_headers()

    def send_blob(self, path):
        digest = path.split("/")[1]
        hub = self.server.hub
        for repository in (*hub.repositories.values(), *hub.old.values()):
            for name in repository.files:
                if repository.is_lfs(name) and repository.sha256(name) == digest:
                    return self.send_body(path, repository.files[name], [("ETag", f'"{digest}"')])
        self.send_json({"error": "no such blob"}, 404)

    def send_body(self, path, data, headers):
        hub = self.server.hub
        fault = hub.take_fault(path) if self.command == "GET" else ()
        if self.simple_fault(fault):
            return
        begin = 0
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if match and fault[:1] != ("ignore-range",):
            begin = int(match.group(1))
            if begin >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        if fault[:1] == ("wrong-range",):
            begin = max(0, begin - 10)
        if fault[:1] == ("corrupt",):
            data = bytes(data[:-1]) + bytes([data[-1] ^ 1])
        end = len(data)
        if match and match.group(2):
            end = min(end, int(match.group(2)) + 1)
        if match and fault[:1] != ("ignore-range",):
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(data)}")
        else:
            self.send_response(200)
            begin, end = 0, len(data)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - begin))
        for name, text in headers:
            self.send_header(name, text)
        self.end_headers()
        if self.command == "HEAD":
            return
        body = memoryview(data)[begin:end]
        if fault[:1] == ("cut",):
            self.wfile.write(body[:fault[1]])
            self.wfile.flush()
            self.close_connection = True
            return
        if fault[:1] == ("hold",):
            self.wfile.write(body[:fault[1]])
            self.wfile.flush()
            hub.held.wait(60)
            self.close_connection = True
            return
        if hub.bytes_per_s is None:
            self.wfile.write(body)
            return
        step = max(1, hub.bytes_per_s // 50)
        for at in range(0, len(body), step):
            self.wfile.write(body[at:at + step])
            time.sleep(0.02)


def weights(size, seed=1):
    """A safetensors file of one tensor with that many bytes, different for each seed."""
    header = json.dumps({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    body = hashlib.shake_128(b"%d" % seed).digest(size)
    return len(header).to_bytes(8, "little") + header + body


def small_model(size=3_000_000, seed=1, **keywords):
    return Repository({"config.json": b'{"model_type": "llama", "max_position_embeddings": 2048, "hidden_size": 64, '
                                      b'"num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}',
                       "tokenizer.json": b"{}" + b" " * 5000,
                       "README.md": b"---\nlicense: mit\nbase_model: org/base\n---\n# A model\n",
                       "model.safetensors": weights(size, seed),
                       "pytorch_model.bin": b"junk that no one needs",
                       "empty.txt": b""}, **keywords)
