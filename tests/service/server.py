"""HTTP: the four routes, who may use them, and what a fault does to an answer."""

from __future__ import annotations

import base64
import gzip
import json
import re
import socket
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from .blobs import STORAGE
from .faults import Fault
from .graphql import RefusedError, read

if TYPE_CHECKING:
    from .service import Service

Answer = tuple[int, bytes]

WRITER = "X-WANDB-ASYNC-CLIENT-ID"
"""The header by which processes that share a run are told apart."""

PIECE = 16
"""Bytes a slow answer comes in."""


class Listener:
    """The port, which can be closed and opened again."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._server: _Server | None = _Server(("127.0.0.1", 0), service)
        self._port = self._server.server_port

    @property
    def url(self) -> str:
        """Address without a slash at its end."""
        return f"http://127.0.0.1:{self._port}"

    def open(self) -> None:
        """Answer, on the port it had from the beginning."""
        self._server = self._server or _Server(("127.0.0.1", self._port), self._service)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), name="standin", daemon=True).start()

    def close(self) -> None:
        """Listen no longer, and end every connection."""
        if self._server is not None:
            self._server.end()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], service: Service) -> None:
        self.service = service
        self._connections: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is nothing to report."""

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        with self._guard:
            for connection in self._connections:
                with suppress(OSError):  # it has just ended by itself
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and content are sent apart, and the second would wait for an acknowledgement
    server: _Server

    def do_POST(self) -> None:
        body = self._body()
        if not self._may():
            self._send(HTTPStatus.UNAUTHORIZED, b'{"errors": [{"message": "invalid API key"}]}')
            return
        parts = urlsplit(self.path).path.strip("/").split("/")
        if parts == ["graphql"]:
            self._graphql(json.loads(body))
        elif parts[0] == "files" and parts[-1] == "file_stream":
            entity, project, run = map(unquote, parts[1:4])
            self._answer("file_stream", lambda: self._stream((entity, project, run), json.loads(body)))
        else:
            self._unknown()

    def do_PUT(self) -> None:
        body = self._body()
        if not self.path.startswith(STORAGE):
            self._unknown()
            return
        self._answer("upload", lambda: (HTTPStatus.OK, self.server.service.put(self.path, body) or b""))

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/artifactsV2/"):  # .../DIGEST/NAME, the address a client makes itself
            path = f"{STORAGE}md5/{path.split('/')[-2]}"
        if not path.startswith(STORAGE):
            self._unknown()
            return
        self._answer("download", lambda: self._download(path))

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _may(self) -> bool:
        scheme, _, secret = self.headers.get("Authorization", "").partition(" ")
        given = base64.b64decode(secret).decode().partition(":")[2] if scheme == "Basic" else secret
        return given == self.server.service.api_key

    def _graphql(self, request: dict[str, Any]) -> None:
        try:
            operation = read(request["query"]).name
        except RefusedError:
            operation = "anonymous"

        def run() -> Answer:
            return HTTPStatus.OK, json.dumps(
                self.server.service.graphql(request["query"], request.get("variables") or {})
            ).encode()

        self._answer(operation, run)

    def _stream(self, home: tuple[str, str, str], body: dict[str, Any]) -> Answer:
        try:
            self.server.service.stream(home, body, self.headers.get(WRITER, ""))
        except RefusedError as error:
            return HTTPStatus.NOT_FOUND, str(error).encode()
        return HTTPStatus.OK, b"{}"

    def _download(self, path: str) -> Answer:
        """A file, or a part of it, which readers of Parquet ask for."""
        content = self.server.service.get(path)
        if content is None:
            return HTTPStatus.NOT_FOUND, b""
        part = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if part is None:
            return HTTPStatus.OK, content
        first, last = part.groups()
        start = int(first) if first else len(content) - int(last)
        stop = min(int(last) + 1, len(content)) if first and last else len(content)
        self._range = f"bytes {start}-{stop - 1}/{len(content)}"
        return HTTPStatus.PARTIAL_CONTENT, content[start:stop]

    def _unknown(self) -> None:
        self.server.service.notes.append(f"{self.command} {self.path}")
        self._answer("unknown", lambda: (HTTPStatus.NOT_FOUND, b""))

    def _done(self, run: Callable[[], Answer]) -> Answer:
        try:
            return run()
        except Exception:  # noqa: BLE001 -- a mistake of ours; a client that got no answer would ask for ever
            self.server.service.notes.append(f"{self.path}: {traceback.format_exc()}")
            return HTTPStatus.BAD_REQUEST, b"the stand-in has a mistake: see its notes"

    def _answer(self, operation: str, run: Callable[[], Answer]) -> None:
        """Count a request, let it meet its fault, and answer it."""
        service = self.server.service
        service.count(operation)
        over = service.faults.over
        fault = service.faults.meet(operation)
        if fault is None:
            self._send(*self._done(run))
        elif fault.kind == "status":
            self._send(fault.status, b"{}", fault)
        elif fault.kind == "trickle":
            self._send(*self._done(run), fault)
        else:
            if fault.kind == "drop":
                self._done(run)
            else:
                over.wait()
            self.close_connection = True

    def _send(self, status: int, content: bytes, fault: Fault | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/json")
        if status == HTTPStatus.PARTIAL_CONTENT:
            self.send_header("Content-Range", self._range)
        if fault is not None and fault.retry_after is not None:
            self.send_header("Retry-After", str(fault.retry_after))
        self.end_headers()
        if fault is None or fault.kind != "trickle":
            self.wfile.write(content)
            return
        for start in range(0, len(content), PIECE):
            time.sleep(fault.seconds)
            self.wfile.write(content[start : start + PIECE])
