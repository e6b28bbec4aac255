"""Mutation testing: the tests' own strength, as the share of small faults in the code that they notice."""
