"""Tests of ffbridge.exchange: `cases` is the table of what is expected, `arrays` makes the arrays."""
