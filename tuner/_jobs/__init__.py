"""A job: its file, its table, what it says at its end."""
