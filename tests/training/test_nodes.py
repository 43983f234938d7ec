"""The environment variables that name the machines of a training."""

import pytest

from text2sql.errors import UserError
from text2sql.training.nodes import Nodes

TWO = {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}


def test_without_nnodes_there_is_one_machine_and_other_variables_are_ignored() -> None:
    assert Nodes.from_environment({"NODE_RANK": "7", "MASTER_ADDR": "elsewhere"}) == Nodes()


def test_count_rank_address_and_port_are_read() -> None:
    assert Nodes.from_environment(TWO) == Nodes(2, 1, "10.0.0.1", 29500)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"NNODES": "two"}, "NNODES is 'two'"),
        ({"NNODES": "0"}, "NNODES is 0"),
        ({"NODE_RANK": ""}, "NODE_RANK is not set"),
        ({"NODE_RANK": "2"}, "NODE_RANK is 2; with NNODES=2 set it to a number from 0 to 1"),
        ({"MASTER_ADDR": ""}, "MASTER_ADDR is not set"),
        ({"MASTER_PORT": "http"}, "MASTER_PORT is 'http'"),
    ],
)
def test_a_missing_or_invalid_variable_is_named(change: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Nodes.from_environment(TWO | change)
