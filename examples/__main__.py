"""`make examples`: the fourteen examples against the server that `make serve` started here."""

import argparse
import json
import os
import subprocess
import sys

from examples.run import run_all


def main() -> int:
    """Run them; one line each. 0 when all succeed."""
    parser = argparse.ArgumentParser(prog="examples", description=__doc__)
    parser.add_argument("--url", default=os.environ.get("KEYSTEAD_URL", "http://127.0.0.1:3000"))
    parser.add_argument("--root-key", help="default: a fresh one, made beside the running server")
    arguments = parser.parse_args()
    os.environ["KEYSTEAD_URL"] = arguments.url
    root_key = arguments.root_key or fresh_root_key()
    count = 0
    for operation, printed in run_all(arguments.url, root_key):
        count += 1
        print(f"{operation:<20} ok  {_shortened(printed)}")
    print(f"{count} of 14")
    return 0 if count == 14 else 1


def fresh_root_key() -> str:
    """A root key from the command line, which finds the running server by its database in this folder."""
    command = [
        sys.executable,
        "-m",
        "keystead",
        "root-key",
        "create",
        "--name",
        "examples",
        "--permission",
        "*",
        "--json",
    ]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    return str(json.loads(made.stdout)["key"])


def _shortened(text: str, length: int = 80) -> str:
    # What `create` prints holds a key; this one is worthless, but the habit is not.
    one_line = " ".join(part for part in text.split() if not part.startswith(("key=", "plaintext=")))
    return one_line if len(one_line) <= length else one_line[: length - 1] + "…"


if __name__ == "__main__":
    sys.exit(main())
