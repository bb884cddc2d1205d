"""The result, and how it is told."""
