"""Lets megatron-core and mcore_adapter train on a CPU: Python imports this file if its folder is on the path.

They call CUDA where the result does not need it: for the number of the device, for random states, and with
"cuda" as the name of the device. gloo has no average. Only ranks of a training with Megatron use it.
"""

import functools
import os


def _use_cpu() -> None:
    import torch
    import torch.distributed

    torch.cuda.current_device = lambda: "cpu"
    for module in (torch.cuda, torch.cuda.random, torch.cpu):
        module.get_rng_state = lambda device=None: torch.get_rng_state()
        module.set_rng_state = lambda state, device=None: torch.set_rng_state(state)
    torch.cuda.manual_seed = torch.default_generator.manual_seed
    torch.cuda.synchronize = torch.cuda.empty_cache = lambda *_, **__: None
    torch.cuda.is_current_stream_capturing = lambda: False
    torch.cpu.manual_seed = torch.default_generator.manual_seed
    torch.cpu.empty_cache = lambda: None
    # Megatron's loss changes logits.float() in place, which in bf16 is a copy and in fp32 the logits
    torch.Tensor.float = lambda self, *_, **__: self.to(torch.float32, copy=True)
    torch.Tensor.type = _with_name_of_cuda(torch.Tensor.type)
    torch.Tensor.cuda = lambda self, *_, **__: self
    for name in ("arange", "empty", "empty_like", "full", "ones", "rand", "tensor", "zeros", "zeros_like"):
        setattr(torch, name, _on_cpu(getattr(torch, name)))
    torch.Tensor.to = _on_cpu(torch.Tensor.to)
    load = torch.load  # a rank saves its tensors as those of device cpu:0, which torch cannot load
    torch.load = lambda *args, **kwargs: load(*args, **kwargs | {"map_location": "cpu"})
    torch.distributed.all_reduce = _with_average(torch.distributed.all_reduce)


def _on_cpu(function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        if str(kwargs.get("device", "")).startswith("cuda"):
            kwargs["device"] = "cpu"
        args = ["cpu" if isinstance(a, str) and a.startswith("cuda") else a for a in args]
        return function(*args, **kwargs)

    return call


def _with_name_of_cuda(type_of):
    @functools.wraps(type_of)
    def call(self, *args, **kwargs):
        found = type_of(self, *args, **kwargs)
        return found.replace("torch.", "torch.cuda.") if isinstance(found, str) else found

    return call


def _with_average(all_reduce):
    from torch.distributed import ReduceOp, get_world_size

    @functools.wraps(all_reduce)
    def call(tensor, op=ReduceOp.SUM, group=None, async_op=False):
        if op != ReduceOp.AVG:
            return all_reduce(tensor, op, group, async_op)
        done = all_reduce(tensor, ReduceOp.SUM, group, async_op)
        if done is not None:
            done.wait()
        tensor /= get_world_size(group)
        return done

    return call


if os.environ.get("USE_MCA") == "1" and "RANK" in os.environ:
    _use_cpu()
