"""Batches on their way to the device: cast, pinned and copied by the threads that encode them."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from trainer.batch import Batch


@dataclass(frozen=True, slots=True)
class OnItsWay:
    """A batch whose tensors are on the device, or on their way; `copied` is None where nothing has to wait."""

    batch: Batch
    copied: torch.cuda.Event | None = None

    def arrived(self) -> Batch:
        """The batch, for the current stream, which waits for the copies and keeps the memory until it is used."""
        if self.copied is not None:
            current = torch.cuda.current_stream()
            current.wait_event(self.copied)
            for tensor in self.batch.tensors():
                tensor.record_stream(current)
        return self.batch


class Transfer:
    """Sends batches to a device. `dtype` is the model's: pixels are rounded to it before they are copied.

    The model would round them in the same way, after a copy of twice the bytes. On CUDA the copies have a stream
    of their own; `send` may be called from any thread.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self.dtype = device, dtype
        stream: Any = torch.cuda.Stream
        self._stream = stream(device) if device.type == "cuda" else None

    def send(self, batch: Batch) -> OnItsWay:
        """Cast, pin and begin to copy a batch."""
        cast = replace(batch, media={name: self._cast(tensor) for name, tensor in batch.media.items()})
        if self._stream is None:
            return OnItsWay(cast.to(self._device))
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            return OnItsWay(cast.moved(self._copied), self._stream.record_event())

    def _cast(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    def _copied(self, tensor: Tensor) -> Tensor:
        """Pinned memory is kept by its allocator until the copy has ended."""
        return tensor.pin_memory().to(self._device, non_blocking=True)
