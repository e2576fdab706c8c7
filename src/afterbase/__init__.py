"""afterbase: what comes after the base model, with the lineage of every sample."""

__version__ = "0.1.0"
