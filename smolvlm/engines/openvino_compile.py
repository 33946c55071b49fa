"""From a checkpoint to compiled OpenVINO graphs: built once, then taken from the disk.

Compiling both graphs of the 256M costs about a second before anything was asked; importing what was
compiled costs a fifth of that, and maps the weights instead of reading them. A cache entry that
does not fit is never an error: the graph is built anew. What the graphs compute is written in
`openvino_vision.py` and `openvino_text.py`, how entries are kept in `compiled_cache.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from threading import Event, Thread
from typing import Any, Literal

import openvino as ov

from smolvlm.config import ImageRules
from smolvlm.engines.compiled_cache import Entry, MappedEntry, digest, entry_for
from smolvlm.engines.openvino_ops import Weights
from smolvlm.engines.openvino_text import build_text_graph
from smolvlm.engines.openvino_vision import build_vision_graph
from smolvlm.weights.reader import Checkpoint

GraphName = Literal["vision", "text"]
Properties = dict[str, Any]

DEVICE = "CPU"
# OpenVINO's name of each precision, the fastest first.
PRECISIONS = {"bf16": ov.Type.bf16, "f32": ov.Type.f32}
# Part of every key: raise it with every change of a graph or of `properties`.
GRAPH_VERSION = 1
# A larger model is compiled every time: its entries would take as much disk as the model, and twice
# that in memory while they are written, to save the same second.
MAX_CACHED_BYTES = 1024**3

# Between two releases of what the first run has read. A page that is needed again is still in the
# kernel's cache and comes back at once.
TRIM_SECONDS = 0.02

_LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class CompiledGraph:
    """A graph ready to run. memory: what its constants point into; it has to live as long."""

    model: ov.CompiledModel
    memory: Weights | MappedEntry
    _has_run: bool = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around every run: the first one packs the weights, and the file's pages go as it does.

        Otherwise all weights would be in memory twice before the first token.
        """
        if self._has_run or not isinstance(self.memory, MappedEntry):
            yield
            return
        ended = Event()
        trimmer = Thread(target=_trim, args=(self.memory, ended), daemon=True)
        trimmer.start()
        try:
            yield
        finally:
            ended.set()
            trimmer.join()
        self._has_run = True


def _trim(memory: MappedEntry, ended: Event) -> None:
    """Take the pages out of memory until `ended`, and once more then."""
    while not ended.wait(TRIM_SECONDS):
        memory.release_pages()
    memory.release_pages()


def runnable_precisions() -> tuple[str, ...]:
    """The precisions this CPU has instructions for, the fastest first."""
    # The plugin's own default is bfloat16 on such CPUs, and only on them.
    native = ov.Core().get_property(DEVICE, "INFERENCE_PRECISION_HINT") == ov.Type.bf16
    return tuple(name for name in PRECISIONS if name != "bf16" or native)


def properties(precision: str, threads: int | None) -> Properties:
    """How OpenVINO is to run: answers as soon as possible, in one number type throughout."""
    chosen = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        # By default keys and values are stored in 8 bits, and so are activations next to 8-bit
        # weights: neither is what "f32" or "bf16" promises.
        "KV_CACHE_PRECISION": PRECISIONS[precision],
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
    }
    return chosen if threads is None else chosen | {"INFERENCE_NUM_THREADS": threads}


class Compiler:
    """Compiles the graphs of one checkpoint in one precision."""

    def __init__(
        self, checkpoint: Checkpoint, rules: ImageRules, *, precision: str, threads: int | None
    ) -> None:
        self._checkpoint = checkpoint
        self._rules = rules
        self._precision = precision
        self._core = ov.Core()
        self._properties = properties(precision, threads)
        self.device = str(self._core.get_property(DEVICE, "FULL_DEVICE_NAME")).strip()

    def vision(self) -> CompiledGraph:
        """The graph of `openvino_vision.py`; `CacheError` when the cache cannot be written."""
        return self._graph("vision", lambda weights: build_vision_graph(weights, self._rules))

    def text(self) -> CompiledGraph:
        """The graph of `openvino_text.py`; `CacheError` when the cache cannot be written."""
        return self._graph("text", build_text_graph)

    def _graph(self, name: GraphName, build: Callable[[Weights], ov.Model]) -> CompiledGraph:
        if not self._is_cached(name):
            return self._compile(build, Weights(self._checkpoint))
        entry = self._entry(name)
        graph = self._import(entry)
        if graph is None:
            # Half the disk; without a cache it would be work in vain, for the plugin does it too.
            graph = self._compile(build, Weights(self._checkpoint, narrow=self._is_narrow))
            entry.store(graph.model.export_model().getbuffer())
        return graph

    @property
    def _is_narrow(self) -> bool:
        return self._precision == "bf16"

    def _compile(self, build: Callable[[Weights], ov.Model], weights: Weights) -> CompiledGraph:
        model = self._core.compile_model(build(weights), DEVICE, self._properties)
        return CompiledGraph(model, weights)

    def _import(self, entry: Entry) -> CompiledGraph | None:
        """The graph of a cache entry; None when there is none that can be used."""
        try:
            memory = entry.open()
            if memory is None:
                return None
            blob = ov.Tensor(memory.blob, shared_memory=True)
            model = self._core.import_model(blob, DEVICE, self._properties)
        except (OSError, ValueError, RuntimeError) as error:
            _LOG.warning("compiling anew, %s cannot be used: %s", entry.path, error)
            return None
        return CompiledGraph(model, memory)

    def _is_cached(self, name: GraphName) -> bool:
        names = self._checkpoint.names()
        dtypes = {self._checkpoint.dtype(tensor) for tensor in names}
        values = sum(prod(self._checkpoint.shape(tensor)) for tensor in names)
        wide = "F32" in dtypes and not self._is_narrow
        if values * (4 if wide else 2) > MAX_CACHED_BYTES:
            return False
        # An imported text graph is no longer recognised as a language model and widens 16-bit
        # weights to float32: twice the memory (measured on the 256M), half the decoding speed.
        widens = self._precision == "f32" and dtypes != {"F32"}
        return name != "text" or not widens

    def _entry(self, name: GraphName) -> Entry:
        slot = f"{name}-{self._precision}-{digest(self.device)[:8]}"
        key = digest(self._checkpoint.fingerprint, self._rules, ov.__version__, GRAPH_VERSION)
        return entry_for(self._checkpoint.folder, slot, key[:32])
