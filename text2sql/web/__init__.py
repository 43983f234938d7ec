"""The web page and the JSON API of `text2sql serve`."""

import os

# Read when Gradio is imported, which only modules of this package do.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
