"""nginx answering constants: the least an HTTP server written in C takes for answers of a given size."""

import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from benchmarks.machine import SERVER_CORE, nginx_program, on_core
from benchmarks.ports import free_port

_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  default_type application/json;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
{servers}
}}
"""


class Nginx:
    """A context manager; `urls` maps the length of a body to where it is answered."""

    def __init__(self, folder: Path, body_lengths: set[int]) -> None:
        self._folder = folder
        ports = {length: free_port() for length in sorted(body_lengths)}
        self.urls = {length: f"http://127.0.0.1:{port}" for length, port in ports.items()}
        servers = [
            f"  server {{ listen 127.0.0.1:{port}; location / {{ return 200 '{_body(length)}'; }} }}"
            for length, port in ports.items()
        ]
        self._file = folder / "nginx.conf"
        self._file.write_text(_CONFIGURATION.format(folder=folder, servers="\n".join(servers)))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The master process."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        with on_core(SERVER_CORE):
            self._process = subprocess.Popen(
                [nginx_program(), "-p", str(self._folder), "-c", str(self._file)], stderr=subprocess.DEVNULL
            )
        for _ in range(100):
            try:
                for length, url in self.urls.items():
                    with urlopen(url) as answer:
                        assert len(answer.read()) == length
            except URLError:
                time.sleep(0.05)
            else:
                return self
        raise RuntimeError(f"nginx does not answer, see {self._folder}/nginx.log")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)


def _body(length: int) -> str:
    return '{"x":"' + "x" * (length - 8) + '"}'
