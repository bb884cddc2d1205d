"""The search: ask and tell; which parameters mattered in it."""
