"""A command and a server as two processes."""

import json
import subprocess
import sys
from pathlib import Path

from keystead.testing.connection import Connection
from keystead.testing.server import ServerProcess


def test_beside_a_server_process_nothing_heavy_is_loaded(folder: Path) -> None:
    """A command finds a server of another process, changes what holds there, and loads no storage for it."""
    code = (
        "import sys; from keystead.cli.main import app; app(sys.argv[1:], standalone_mode=False);"
        " print(*({'sqlalchemy', 'alembic', 'starlette'} & set(sys.modules)), file=sys.stderr)"
    )

    def run(*words: str) -> str:
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
        assert done.stderr.strip() == ""
        return done.stdout

    with ServerProcess(folder) as server, Connection(server.url, server.root_key) as connection:
        api_id = json.loads(run("api", "create", "payments", "--json"))["apiId"]
        key = connection.post("keys.createKey", {"apiId": api_id}).json
        assert connection.post("keys.verifyKey", {"key": key["key"]}).json["valid"] is True
        run("key", "disable", key["keyId"])
        assert connection.post("keys.verifyKey", {"key": key["key"]}).json["code"] == "DISABLED"
        assert key["keyId"] in run("key", "list", api_id)
