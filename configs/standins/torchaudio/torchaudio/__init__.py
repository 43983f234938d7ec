"""Stand-in: this environment reads text only, so no audio function exists here."""
