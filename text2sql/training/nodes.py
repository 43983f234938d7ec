"""The machines of a training, read from the environment variables that launchers usually set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from text2sql.errors import UserError


@dataclass(frozen=True)
class Nodes:
    """`count` machines; this one is number `rank` (from 0). `address` and `port` belong to machine 0."""

    count: int = 1
    rank: int = 0
    address: str = "127.0.0.1"
    port: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Nodes:
        """Read NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT; without NNODES, one machine.

        Raises:
            UserError: NNODES is above 1 and another variable is missing, not a number or out of range.
        """
        count = _number(environment, "NNODES") if "NNODES" in environment else 1
        if count < 1:
            raise UserError(f"NNODES is {count}; set it to the number of machines, or unset it")
        if count == 1:
            return cls()
        if not environment.get("MASTER_ADDR"):
            raise UserError(f"NNODES is {count} and MASTER_ADDR is not set; set it to the address of node 0")
        rank = _number(environment, "NODE_RANK")
        if not 0 <= rank < count:
            raise UserError(
                f"NODE_RANK is {rank}; with NNODES={count} set it to a number from 0 to {count - 1}"
            )
        return cls(count, rank, environment["MASTER_ADDR"], _number(environment, "MASTER_PORT"))


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    if not text.isdecimal():
        found = f"is {text!r}" if text else "is not set"
        raise UserError(f"{name} {found}; set it to a whole number, which several machines need")
    return int(text)
