"""Where experiments run: here one after another, in threads, in worker processes, or in jobs of a cluster."""
