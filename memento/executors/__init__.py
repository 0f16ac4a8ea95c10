"""Where experiments run: here one after another, in threads, or in worker processes."""
