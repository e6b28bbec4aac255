"""The standard: its text, its data, and the vectors."""
