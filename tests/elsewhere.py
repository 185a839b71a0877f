"""A device for machines without a GPU: its tensors lie on the CPU and do not say so.

As on a GPU, nothing works on its tensors and the CPU's together: what forgets to move a tensor
fails here as it would there. As a program it runs commands with it, or tests/together.py's recipes:

python tests/elsewhere.py predict photo.png --device elsewhere + recipes DIR elsewhere
"""

import sys
from contextlib import nullcontext
from itertools import groupby

import torch
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "elsewhere"
COPIES = ("_to_copy", "copy_")
INDEXED = ("index", "index_put", "index_put_", "_index_put_impl_")  # by indices of the CPU, too


class Elsewhere(torch.Tensor):
    """A tensor on that device, around one on the CPU."""

    inner: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "Elsewhere":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device(NAME, 0),
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return run(operation, *args, **(kwargs or {}))

    def __reduce_ex__(self, protocol):
        return self.inner.__reduce_ex__(protocol)


def run(operation, *args, **kwargs):
    """Do an operation on the CPU for tensors that all lie on one device."""
    name = operation.overloadpacket.__name__
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    ours = [tensor for tensor in tensors if isinstance(tensor, Elsewhere)]
    mixed = ours and any(t.ndim for t in tensors if not isinstance(t, Elsewhere))
    indexed = name in INDEXED and isinstance(args[0], Elsewhere)
    if mixed and not indexed and name not in COPIES:
        raise RuntimeError(f"{operation} of tensors on two devices")
    place = kwargs.get("device")
    here = bool(ours) if place is None else torch.device(place).type == NAME
    moved = {} if place is None else {"device": "cpu"}
    inner_args, inner_kwargs = tree_map(_inner, (args, kwargs | moved))
    found = operation(*inner_args, **inner_kwargs)
    if name == "copy_":
        return args[0]
    found = tree_map(_outer, found) if here else found
    return return_and_correct_aliasing(operation, args, kwargs, found) if ours and here else found


def _inner(leaf):
    return leaf.inner if isinstance(leaf, Elsewhere) else leaf


def _outer(leaf):
    return Elsewhere(leaf) if isinstance(leaf, torch.Tensor) else leaf


def _empty(size, **how):
    how["memory_format"] = how.get("memory_format") or torch.contiguous_format
    return Elsewhere(torch.empty(size, **how | {"device": "cpu", "pin_memory": False}))


def _empty_strided(size, stride, **how):
    return Elsewhere(torch.empty_strided(size, stride, **how | {"device": "cpu"}))


_setup_privateuseone_for_python_backend(NAME)
_any, _aten = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
_any.fallback(run, "PrivateUse1")
_aten.impl("empty.memory_format", _empty, "PrivateUse1")
_aten.impl("empty_strided", _empty_strided, "PrivateUse1")
# What such a tensor cannot do: replace the data of another kind of tensor, be one of inference,
# be made of Python's numbers, and know of autocast.
torch.__future__.set_overwrite_module_params_on_conversion(True)
torch.inference_mode = torch.no_grad  # type: ignore[misc,assignment]
torch.autocast = lambda *how, **more: nullcontext()  # type: ignore[misc,assignment]
_tensor = torch.tensor
torch.tensor = lambda data, device=None, **how: _tensor(data, **how).to(device or "cpu")

if __name__ == "__main__":
    import together  # registers the tests' networks

    from maskexplain.models import network
    from maskexplain.models.version import DEVICES

    network.GPU_PICTURES = network.CPU_LEAST  # as many as the CPU takes: it sums in one order
    DEVICES[NAME] = lambda: True
    commands = [[*words] for plus, words in groupby(sys.argv[1:], "+".__eq__) if not plus]
    sys.exit(any([together.main(command) for command in commands]))
