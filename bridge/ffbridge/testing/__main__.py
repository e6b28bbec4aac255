"""The process of `ffbridge.testing.worker`: ``python -m ffbridge.testing backend|engine NAME``."""

from __future__ import annotations

import os
import sys

from ffbridge.testing.worker import main

__all__: list[str] = []

if __name__ == "__main__":
    # Results go to the stream that was stdout; what a framework prints goes with the errors.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        main(sys.argv[1], sys.argv[2], out)
