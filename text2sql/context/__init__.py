"""Context of the question's own database: values, keys, and the schema cut to what is asked."""
