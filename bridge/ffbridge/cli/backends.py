"""``ffbridge backends``: what is installed."""

from __future__ import annotations

from dataclasses import asdict

from .output import Json, print_json, print_table

__all__ = ["backends"]


def backends(*, json: Json = False) -> None:
    """List array backends and engines: versions, devices, what each can do, what is missing."""
    from ffbridge import registry

    found = {"backends": registry.backends(), "engines": registry.engines()}
    if json:
        print_json({kind: [asdict(info) for info in infos] for kind, infos in found.items()})
        return
    for kind, infos in found.items():
        rows = [
            (info.name, info.version or "—", ", ".join(info.devices), "; ".join(info.abilities) or info.problem or "")
            for info in infos
        ]
        print_table(kind, ("name", "version", "devices", "abilities"), rows)
