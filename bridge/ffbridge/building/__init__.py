"""Many molecules to bundles: several processes, every failure listed, and runs that go on where they stopped."""

from .records import Record, count_records, read_records
from .run import BuildReport, Outcome, build_bundles

__all__ = ["BuildReport", "Outcome", "Record", "build_bundles", "count_records", "read_records"]
