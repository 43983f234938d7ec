"""The server as a whole, without a browser."""

from __future__ import annotations

import sys

import pytest

from tests.web.served import ByQuestion, databases, running, service
from text2sql.errors import UserError


def test_a_gradio_that_cannot_be_imported_is_an_error_with_its_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "text2sql.web.page", None)
    one = service(ByQuestion())
    with (
        pytest.raises(UserError, match=r"Gradio 5\.\S+ cannot be imported .*environment without vLLM"),
        running(one, databases(one)),
    ):
        pass
