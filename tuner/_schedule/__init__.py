"""A scheduled job: look, decide, make, contest."""
