"""Operations per token, peaks of devices, and the recorded speed of a run."""

from pathlib import Path

import pytest

from text2sql.training.throughput import flops_per_token, peak_flops, read_throughput, write_throughput


def test_a_trained_weight_costs_six_operations_a_token_and_a_frozen_one_four() -> None:
    assert flops_per_token(parameters=1000, trainable=1000) == 6000
    assert flops_per_token(parameters=1000, trainable=0) == 4000


@pytest.mark.parametrize(
    ("device", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("NVIDIA GeForce RTX 4090 D", 147e12),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA GeForce RTX 3090", 71e12),
        ("NVIDIA GeForce RTX 3090 Ti", None),
        ("NVIDIA GeForce RTX 5090", 209e12),
        ("NVIDIA GeForce RTX 5090 D", None),
        ("NVIDIA H20", 148e12),
        ("NVIDIA H200 NVL", 835e12),
        ("NVIDIA H100 NVL", 835e12),
        ("NVIDIA H800", 989e12),
        ("NVIDIA H800 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A800-SXM4-80GB", 312e12),
        ("NVIDIA RTX A1000", None),
        ("NVIDIA RTX A6000", 155e12),
        ("NVIDIA L40", 181e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA B200", 2250e12),
        ("NVIDIA GB200", 2500e12),
        ("NVIDIA GH200 480GB", 989e12),
        ("NVIDIA GeForce GTX 1080", None),
        ("", None),
    ],
)
def test_the_peak_of_a_device_is_found_by_its_name(device: str, peak: float | None) -> None:
    assert peak_flops(device) == peak


def test_padding_is_not_counted_as_tokens() -> None:
    """A batch of two rows, and one of two packed sequences, the first with two tokens of padding."""
    import torch
    from llamafactory.data.collator import prepare_4d_attention_mask

    from text2sql.training.monitor import real_tokens

    ids = torch.zeros((2, 5), dtype=torch.long)
    padded = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    packs = torch.tensor([[1, 2, 2, 0, 0], [1, 1, 1, 2, 3]])
    assert real_tokens(ids, padded) == 8
    for precision in (torch.float32, torch.bfloat16):
        assert real_tokens(ids, prepare_4d_attention_mask(packs, precision)) == 8
    assert real_tokens(ids, None) == 10


def test_a_step_repeated_after_a_kill_has_its_later_speed(tmp_path: Path) -> None:
    log = tmp_path / "throughput.jsonl"
    steps = [(2, 10.0), (4, 11.0), (6, 12.0), (4, 20.0), (6, 21.0), (8, 22.0)]
    log.write_text("".join(f'{{"step": {step}, "tokens_per_s": {speed}}}\n' for step, speed in steps))
    assert [line["tokens_per_s"] for line in read_throughput(log)] == [10.0, 20.0, 21.0, 22.0]


def test_an_incomplete_line_loses_only_itself_and_the_next_line(tmp_path: Path) -> None:
    log = tmp_path / "throughput.jsonl"
    log.write_text('{"step": 2}\n{"step": 4, "tok{"step": 6}\n{"step": 8}\n{"st')
    assert [line["step"] for line in read_throughput(log)] == [2, 8]


def test_a_training_without_recorded_speed_has_no_lines(tmp_path: Path) -> None:
    assert read_throughput(tmp_path / "throughput.jsonl") == []


def test_every_quantity_has_a_file_and_files_of_an_earlier_run_are_replaced_or_removed(
    tmp_path: Path,
) -> None:
    tokens, mfu = (tmp_path / quantity / "train_full.csv" for quantity in ("tokens_per_s", "mfu"))
    write_throughput([{"step": 2, "tokens_per_s": 10.5, "mfu": 0.4}], tmp_path, "train_full")
    assert (tokens.read_text(), mfu.read_text()) == ("step,tokens_per_s\n2,10.5\n", "step,mfu\n2,0.4\n")
    write_throughput([{"step": 4, "tokens_per_s": 9.0}], tmp_path, "train_full")
    assert tokens.read_text() == "step,tokens_per_s\n4,9.0\n"
    assert not mfu.exists()
    write_throughput([], tmp_path, "train_full")
    assert not tokens.exists()
