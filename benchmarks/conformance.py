"""The kit's results, counted: ``python -m benchmarks.conformance FILE``, of ``ffbridge conformance --json FILE``."""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ffbridge.testing.suite import ENGINE_CHECKS

TABLE = Path(__file__).parent / "results" / "conformance.json"
PACKAGES = ("numpy", "torch", "jax", "numba", "openmm", "mlx", "array-api-strict", "paddlepaddle")
STATUSES = ("pass", "refused", "FAIL")
REASONS = 3
OF_ENGINES = {check.name for check in ENGINE_CHECKS}


def versions() -> dict[str, str]:
    """Return the versions of what is installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def counted(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return how often each subject passed, refused and failed, in all and by check, with some of the reasons."""
    subjects: dict[tuple[str, str], dict[str, Any]] = {}
    for each in results:
        subject = subjects.setdefault(("engine" if each["check"] in OF_ENGINES else "backend", each["subject"]), {})
        check = subject.setdefault(each["check"], {**dict.fromkeys(STATUSES, 0), "reasons": []})
        check[each["status"]] += 1
        if each["reason"] and len(check["reasons"]) < REASONS:
            check["reasons"].append(each["reason"][:160])
    return [
        {
            "kind": kind,
            "name": name,
            **{status: sum(check[status] for check in checks.values()) for status in STATUSES},
            "checks": checks,
        }
        for (kind, name), checks in subjects.items()
    ]


def main() -> None:
    """Write the table."""
    results = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    about = "ffbridge conformance of every framework here and of three plug-ins, counted by check"
    table = {"about": f"{about}; at most three reasons each", "versions": versions(), "results": counted(results)}
    TABLE.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for each in table["results"]:
        print(each["kind"], each["name"], *(f"{status} {each[status]}" for status in STATUSES))


if __name__ == "__main__":
    main()
