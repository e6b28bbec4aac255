"""Makes the vectors: ``python -m tests.spec.make_vectors`` writes them into ``spec/ffbridge_spec/vectors``."""
