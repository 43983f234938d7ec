"""Training rows that leak test questions."""
