"""Rows as they come in, checked and encoded: the dataset of a run, and the memory it takes."""
