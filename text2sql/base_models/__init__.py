"""The base model: from a Python package, from the hub, or the tiny one trained here."""
