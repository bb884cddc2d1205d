"""Metrics, each turned into a loss."""
