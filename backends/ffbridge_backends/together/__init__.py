"""Ways to bring many arrays over at once: one module for each framework that has one."""

__all__: list[str] = []
