"""Reference data of this repository, and the programs that made them."""
