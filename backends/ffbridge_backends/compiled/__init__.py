"""What frameworks compile for their engines, and keep: one module for each framework."""

__all__: list[str] = []
