"""A worker process: ``python -m ffbridge.building.worker OPTIONS``, records in and outcomes out, as JSON lines.

It begins with ``{"status": "ready"}`` or ``{"status": "fatal", …}``, and ends when its input does.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any, TextIO

from ffbridge.errors import FFBridgeError

from .records import Record

__all__ = ["main"]

LONGEST_REASON = 1000


def main() -> None:
    """Build the molecules that arrive on stdin. The one argument is JSON: force_field, folder, and so on."""
    warnings.simplefilter("ignore")
    # What libraries print must not come between the outcomes: stdout is kept for these, and theirs becomes stderr.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    options = json.loads(sys.argv[1])
    folder = Path(options.pop("folder"))
    from .builder import Builder

    try:
        builder = Builder(**options)
    except FFBridgeError as error:
        _send(replies, {"status": "fatal", **_failure(error)})
        return
    _send(replies, {"status": "ready"})
    for line in sys.stdin:
        record = Record(**json.loads(line))
        try:
            outcome = builder.build(record, folder)
        except Exception as error:  # noqa: BLE001  whatever a molecule fails with is listed, and the others go on
            outcome = {"status": "failed", **_failure(error)}
        _send(replies, outcome)


def _failure(error: Exception) -> dict[str, str]:
    return {"error": type(error).__name__, "reason": " ".join(str(error).split())[:LONGEST_REASON]}


def _send(replies: TextIO, message: dict[str, Any]) -> None:
    replies.write(json.dumps(message) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
