"""The command line over a store: a module for each subcommand, `arguments` that they share, and `main`."""
