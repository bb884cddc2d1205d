"""The straight line: choose, estimate, conclude; who listens."""
