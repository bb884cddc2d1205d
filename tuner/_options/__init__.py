"""What the user may ask for, and what it becomes for one table."""
