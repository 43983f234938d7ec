"""Text-to-SQL fine-tuning: data, contamination, schemas, training, inference and evaluation."""

import logging

# sqlglot warns of every statement that it does not know, and a data set may have many thousands of them; the
# code that calls it sees that from the result. Set here, so that it holds in worker processes too.
logging.getLogger("sqlglot").setLevel(logging.ERROR)
