"""The command line's commands: one file, one command."""
