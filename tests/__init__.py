"""The tests: `bridge/`, `backends/` and `spec/` mirror the packages."""
