"""Rows as they come in, checked and encoded: the dataset of a run."""
