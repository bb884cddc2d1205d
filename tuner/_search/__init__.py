"""The search: ask and tell."""
