"""One configuration on folds, or on all rows."""
