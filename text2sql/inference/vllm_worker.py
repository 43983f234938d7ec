"""What vLLM loads into each of its worker processes, so that they end at once with the one that started them.

Otherwise they occupy their GPUs for up to a minute after it was killed, while the next job claims them.
"""

from __future__ import annotations

from text2sql.processes import die_with_parent

die_with_parent()


class EndsWithParent:
    """vLLM's option worker_extension_cls names a class; its module does the work when it is imported."""
