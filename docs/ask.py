"""Ask every line of a file by the API, and say how far the project is.

    PLAUDIT_TOKEN=plt_... python docs/ask.py http://127.0.0.1:8777 lakes questions.jsonl

The token needs the scopes ask and read. Standard library only.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen


def call(method: str, url: str, body: Any = None) -> Any:
    """One call of the API; a refusal ends the program with the server's own line."""
    headers = {"Authorization": f"Bearer {os.environ['PLAUDIT_TOKEN']}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url, data, headers, method=method), timeout=60) as response:
            return json.load(response)
    except HTTPError as error:
        sys.exit(f"{error.code}: {json.load(error)['detail']}")


def main(server: str, project: str, file: str) -> None:
    """Ask, and print two lines."""
    questions = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines() if line.strip()]
    asked = call("POST", f"{server}/api/projects/{project}/questions", {"questions": questions})
    print(f"{asked['new']} new of {len(asked['ids'])} questions")
    train = call("GET", f"{server}/api/projects/{project}/progress")["queues"][0]
    print(f"{train['done']} of {train['questions']} done")


if __name__ == "__main__":
    main(*sys.argv[1:4])
