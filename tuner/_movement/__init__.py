"""Whether the world has moved since a version was made."""
