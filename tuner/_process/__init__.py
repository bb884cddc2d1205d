"""What a run asks of its process: time, threads, a lock, and to keep secrets."""
