"""Validation: whether a bundle follows the standard. Every fault at once, each with its path and its rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ffbridge.canonical import plain_document
from ffbridge.errors import ValidationError
from ffbridge.snapshot import snapshot

if TYPE_CHECKING:
    from ffbridge.bundle import Bundle

__all__ = ["validate"]


def validate(bundle: Bundle) -> None:
    """Check a bundle, its arrays in any framework, against the standard (``spec/bundle.md``); linear in its size.

    Raises:
        ValidationError: the bundle breaks rules; `faults` lists each break with its path and the number of the rule.
        BundleError: the document holds what JSON cannot.
        ExchangeError: an array has no values to check: it is being traced.
    """
    from ffbridge.rules import find_faults

    document = plain_document(bundle.document())
    faults = find_faults(document, {path: snapshot(array) for path, array in bundle.arrays().items()})
    if faults:
        raise ValidationError([str(fault) for fault in faults])
