"""Where jobs run: one file, one engine."""
