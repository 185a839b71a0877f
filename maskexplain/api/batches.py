"""Requests that wait for the same version are answered together."""

import asyncio
from collections import deque
from dataclasses import dataclass

import torch
from fastapi import HTTPException, Request

from ..models.version import Model
from .guard import GONE, Guard

MAX_CROPS = 16  # of one batch; beyond that a face hardly gets cheaper


@dataclass(frozen=True)
class _Waiting:
    request: Request
    inputs: torch.Tensor
    logits: asyncio.Future


class Batches:
    """Runs one version's network on what waits for it.

    Nobody waits for others to come: the network begins as soon as one of the guard's workers is
    free, with whatever has gathered until then. Lives on one event loop.
    """

    def __init__(self, model: Model, guard: Guard) -> None:
        self._model = model
        self._guard = guard
        self._waiting: deque[_Waiting] = deque()
        self._running: set[asyncio.Task] = set()
        self._asked_for_worker = False

    async def logits(self, request: Request, inputs: torch.Tensor) -> torch.Tensor:
        """Logits N x classes of inputs N x 3 x S x S. HTTPException where the client left."""
        mine = _Waiting(request, inputs, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        self._begin()
        return await mine.logits

    def _begin(self) -> None:
        if self._waiting and not self._asked_for_worker:
            self._asked_for_worker = True
            task = asyncio.create_task(self._run())
            self._running.add(task)  # or it would be collected before its end
            task.add_done_callback(self._running.discard)

    async def _run(self) -> None:
        async with self._guard.workers:
            self._asked_for_worker = False
            batch = [one for one in self._take() if not await _gone(one)]
            self._begin()  # what did not fit
            if batch:
                await self._answer(batch)

    def _take(self) -> list[_Waiting]:
        taken, crops = [], 0
        while self._waiting and (not taken or crops + len(self._waiting[0].inputs) <= MAX_CROPS):
            taken.append(self._waiting.popleft())
            crops += len(taken[-1].inputs)
        return taken

    async def _answer(self, batch: list[_Waiting]) -> None:
        inputs = [one.inputs for one in batch]
        try:
            logits = await self._guard.in_thread(self._logits, inputs)
        except Exception as error:
            if len(batch) > 1:  # one of them alone may be the reason
                for one in batch:
                    await self._answer([one])
            elif not batch[0].logits.done():
                batch[0].logits.set_exception(error)
            return
        for one, rows in zip(batch, logits, strict=True):
            if not one.logits.done():  # cancelled, where the server is ending
                one.logits.set_result(rows)

    def _logits(self, inputs: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        together = torch.cat(inputs).contiguous(memory_format=torch.channels_last)
        return self._model.logits_of(together).split([len(part) for part in inputs])


async def _gone(one: _Waiting) -> bool:
    if not await one.request.is_disconnected():
        return False
    if not one.logits.done():
        one.logits.set_exception(HTTPException(400, GONE))
    return True
