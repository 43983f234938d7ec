"""What Spider's official scripts say about queries."""
