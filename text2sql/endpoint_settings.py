"""Settings of a server that speaks OpenAI's protocol.

They are apart from the client in endpoint.py, whose import takes a second.
"""

from __future__ import annotations

import math
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field

from text2sql.settings import Count, Positive, PositiveFloat, Settings

KEY_VARIABLE = "OPENAI_API_KEY"


def _address(base_url: str) -> str:
    """The address as it is.

    Raises:
        ValueError: it is not the address of a server, or contains a secret, which the message does not show.
    """
    try:
        parts = urlsplit(base_url)
        complete = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        complete = False
    if "@" in base_url or "?" in base_url:
        raise ValueError(f"contains a user, a password or a query; the key goes into {KEY_VARIABLE}")
    if not complete or any(sign.isspace() for sign in base_url):
        raise ValueError(f"{base_url!r} is not an address; write one like http://localhost:8000/v1")
    return base_url


Address = Annotated[str, AfterValidator(_address)]


class EndpointSettings(Settings):
    """How a server that speaks OpenAI's protocol is asked. Its key comes from OPENAI_API_KEY alone.

    `timeout_s` is for a whole answer. A request is sent again at most `max_retries` times, after growing
    pauses or when Retry-After says so.
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # a wrong address may contain a password

    base_url: Address | None = None
    concurrency: Positive = Field(8, description="Requests at a time.")
    timeout_s: PositiveFloat = Field(120.0, description="Seconds for a whole answer.")
    max_retries: Count = Field(6, description="Times that a failed request is sent again.")

    def with_model(self, model: str) -> Endpoint:
        """The same server, asked for `model`.

        Raises:
            pydantic.ValidationError: `base_url` is None.
        """
        return Endpoint(model=model, **{name: getattr(self, name) for name in EndpointSettings.model_fields})


class Endpoint(EndpointSettings):
    """A model on a server. Requests start evenly spaced, at most `requests_per_minute`."""

    base_url: Address = Field(
        description="Address that /chat/completions is appended to; the key is in OPENAI_API_KEY."
    )
    model: str = Field(description="Name of the model on the server.")
    requests_per_minute: PositiveFloat = math.inf
