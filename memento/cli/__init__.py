"""The command line over a store: a module for each subcommand, and `main`, which reads what was written."""
