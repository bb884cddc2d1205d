"""Finalists judged on fresh folds, and the final model made of them."""
