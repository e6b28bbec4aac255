"""Functions that autograd evaluates again for derivatives: one module for each framework that has them."""

__all__: list[str] = []
