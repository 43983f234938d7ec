"""The error whose message is meant for the user."""

from __future__ import annotations


class UserError(Exception):
    """An error that the user can fix: the message names the file, the row and the next command."""
