"""What is claimed of new rows, and how it is estimated."""
