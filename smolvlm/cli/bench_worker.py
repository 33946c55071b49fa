"""One engine of `smolvlm bench` in a process of its own, so that its memory is its own.

The process answers what it is sent over a pipe, one thing at a time: `ready` once, then a round for
every number of new tokens it gets, and its memory and what it ran on for None. Whatever goes wrong
comes back as a line of words. What is measured is `evaluation/speed.py`'s business.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

from smolvlm.errors import SmolVLMError
from smolvlm.evaluation.speed import Round


@dataclass(frozen=True)
class Asked:
    """What every engine is asked: the bytes of a picture file and a question.

    load: keywords of `api.load`, the engine and the precision among them.
    """

    model: str
    load: Mapping[str, Any]
    picture: bytes
    question: str


class Worker:
    """The near side of one process; `error` says why it cannot take part, if it cannot."""

    def __init__(self, name: str, asked: Asked) -> None:
        self.name = name
        self.error: str | None = None
        self.load_ms = 0.0
        context = multiprocessing.get_context("spawn")  # a forked OpenVINO hangs
        self._pipe, far = context.Pipe()
        self._process = context.Process(target=serve, args=(far, asked), daemon=True)
        self._process.start()
        far.close()
        self.load_ms = self._receive() or 0.0

    def round(self, new_tokens: int) -> Round | None:
        """One round; None, and an `error`, when it failed."""
        self._pipe.send(new_tokens)
        told = self._receive()
        return None if told is None else Round(**told)

    def describe(self) -> dict[str, Any]:
        """What it ran on, what it measured with, and the most memory it held."""
        self._pipe.send(None)
        return self._receive() or {}

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.terminate()

    def _receive(self) -> Any:
        try:
            good, told = self._pipe.recv()
        except EOFError:
            self._process.join(10)
            good, told = False, f"the process ended with code {self._process.exitcode}"
        if good:
            return told
        self.error = str(told)
        return None


def serve(pipe: Connection, asked: Asked) -> None:
    """The far side: open the model, then answer until the pipe is closed."""
    try:
        _answer(pipe, asked)
    except SmolVLMError as error:
        pipe.send((False, str(error)))
    except (EOFError, BrokenPipeError):  # the near side has what it wanted
        return


def _answer(pipe: Connection, asked: Asked) -> None:
    from smolvlm import api
    from smolvlm.cli.machine import peak_memory
    from smolvlm.evaluation.speed import measure, work

    start = perf_counter()
    load = {**asked.load, "feature_cache": 0, "prefix_cache": 0}
    assistant = api.load(asked.model, **load)
    engine, processor = assistant.engine, assistant.processor
    pipe.send((True, (perf_counter() - start) * 1e3))
    while True:
        new_tokens = pipe.recv()
        if new_tokens is not None:
            told = measure(engine, processor, asked.picture, asked.question, new_tokens)
            pipe.send((True, asdict(told)))
            continue
        plan = assistant.explain(asked.picture, asked.question)
        info = engine.describe()
        needs = work(
            engine.config, info.precision, tiles=plan.tiles, prompt_tokens=plan.prompt_tokens
        )
        about = {"engine": asdict(info), "peak_bytes": peak_memory(), "work": asdict(needs)}
        sizes = {"tiles": plan.tiles, "prompt_tokens": plan.prompt_tokens}
        pipe.send((True, about | sizes))
