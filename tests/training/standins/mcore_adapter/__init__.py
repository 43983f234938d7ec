"""Stands in for ROLL's mcore_adapter where none is installed: the training arguments that recipes name.

Field names and defaults as in mcore_adapter/src/mcore_adapter/training_args.py of alibaba/ROLL. It cannot
train; it lets LLaMA-Factory's own parser read a Megatron configuration on a machine without a GPU.
"""

from dataclasses import dataclass

from transformers import Seq2SeqTrainingArguments as HuggingFaceArguments


@dataclass
class Seq2SeqTrainingArguments(HuggingFaceArguments):
    tensor_model_parallel_size: int | None = None
    pipeline_model_parallel_size: int | None = None
    sequence_parallel: bool = False
    use_distributed_optimizer: bool = False
    overlap_grad_reduce: bool = False
    overlap_param_gather: bool = False
    bias_activation_fusion: bool = False
    apply_rope_fusion: bool = False
    overlap_p2p_comm: bool = True
    sequence_packing: bool = False
    calculate_per_token_loss: bool = False
    transformer_impl: str | None = None
    recompute_granularity: str | None = None


TrainingArguments = Seq2SeqTrainingArguments
