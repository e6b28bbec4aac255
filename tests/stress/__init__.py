"""Many calls, many threads, many processes."""
