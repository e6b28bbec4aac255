"""The worker of ``ffbridge build`` with a builder that needs no chemistry: any text but ``bad`` is a bundle."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from types import ModuleType

from ffbridge.building import worker
from ffbridge.errors import UnsupportedError
from ffbridge.io import save
from tests.bridge.samples import bundle


class Builder:
    """Writes a bundle under the record's name."""

    def __init__(self, force_field, *, allow_undefined_stereo):
        self.force_field = force_field

    def build(self, record, folder):
        if record.text == "bad":
            raise UnsupportedError("bad")
        key = hashlib.sha256(record.text.encode()).hexdigest()
        made = replace(bundle("full"), provenance={"build": {"input_sha256": key}})
        path = folder / f"{record.name}-{key[:16]}.ffb"
        status = "kept" if path.exists() else "built"
        save(made, path)
        return {
            "status": status,
            "file": path.name,
            "content_hash": made.content_hash,
            "input_sha256": key,
            "n_atoms": 8,
        }


if __name__ == "__main__":
    quick = ModuleType("ffbridge.building.builder")
    quick.Builder = Builder
    sys.modules[quick.__name__] = quick
    worker.main()
