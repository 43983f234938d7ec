"""One model for all databases and users, loaded once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Literal

from text2sql.ask.asker import Asker, Draft
from text2sql.ask.plan import ModelPlan
from text2sql.errors import UserError
from text2sql.inference.engine import Engine
from text2sql.targets.model import Target
from text2sql.web.workers import Workers

State = Literal["loading", "ready", "failed"]


class SharedModel:
    """Answers one question after another, in a thread of its own; `state` says how far loading is."""

    def __init__(self, plan: ModelPlan, open_engine: Callable[[ModelPlan], Engine], waiting: int) -> None:
        """`waiting` is the number of questions that may wait for their turn."""
        self.plan = plan
        self.state: State = "loading"
        self._open_engine = open_engine
        self._engine: Engine | None = None
        self._workers = Workers(1, waiting)

    def load(self) -> None:
        """Begin to load, in the background; without this it happens with the first question."""
        self._workers.submit(self._load)

    @property
    def busy(self) -> bool:
        """Whether it loads or answers."""
        return self._workers.busy

    def asker(self, target: Target) -> Asker:
        """What asks one database through this model.

        Raises:
            UserError: the database cannot be read.
        """
        return Asker(lambda plan: self._opened(), self.plan, target)

    def draft(self, asker: Asker, question: str) -> Draft:
        """The model's queries for a question, when its turn has come.

        Raises:
            QueueFull: too many questions wait.
            UserError, NoQuery: see `Asker.draft`.
        """
        return self._workers.call(partial(asker.draft, question))

    def _load(self) -> None:
        """Load before the first question. That one tries again if this fails, and so has the message too."""
        try:
            self._opened()
        except UserError as error:
            logging.getLogger(__name__).error("the model is not loaded: %s", error)
        except Exception:
            logging.getLogger(__name__).exception("the model is not loaded")

    def _opened(self) -> Engine:
        if self._engine is None:
            try:
                self._engine = self._open_engine(self.plan)
            except BaseException:
                self.state = "failed"
                raise
            self.state = "ready"
        return self._engine
