"""From a checkpoint to compiled OpenVINO graphs: built once, then taken from the disk.

Compiling both graphs of the 256M costs about a second before anything was asked; importing what was
compiled costs a fifth of that, and maps the weights instead of reading them. A cache entry that
does not fit is never an error: the graph is built anew. What the graphs compute is written in
`openvino_vision.py` and `openvino_text.py`, how entries are kept in `compiled_cache.py`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from math import prod
from threading import Event, Thread
from typing import Any, Literal

import openvino as ov

from smolvlm.config import ImageRules
from smolvlm.engines.compiled_cache import Entry, MappedEntry, digest, entry_for
from smolvlm.engines.openvino_ops import Weights
from smolvlm.engines.openvino_text import build_text_graph, tiny_mlp
from smolvlm.engines.openvino_vision import build_vision_graph
from smolvlm.quant.plan import LOADED
from smolvlm.quant.schemes import Scheme
from smolvlm.weights.reader import Checkpoint

GraphName = Literal["vision", "text"]
Properties = dict[str, Any]

DEVICE = "CPU"
# What an engine may be asked for. The last two say how the matrices are stored: a folder that is
# not quantised is rounded as it is loaded.
PRECISIONS = ("bf16", "f32", *LOADED)
# Part of every key: raise it with every change of a graph, of rounding or of `properties`.
GRAPH_VERSION = 4
# Next to stored codes, the plugin turns this many activations at a time into 8-bit codes of their
# own, if it computes in float32. It has to divide the groups of 4-bit codes.
ACTIVATION_GROUP = 32
# More than any row has: a token's activations share one scale. The kernel for a whole MLP from
# 8-bit codes takes them so only.
WHOLE_ROW = 2**16
# What the kernel for a whole MLP reads in 16 bits, whatever it is stored in. In front of this layer
# a few values of a token are hundreds of times the others: with one scale for all of them, four
# times as much would be lost as by rounding all weights (measured on SmolLM2-135M).
DOWN = ".mlp.down_proj.weight"
# A larger model is compiled every time: its entries would take as much disk as the model, and twice
# that in memory while they are written, to save the same second.
MAX_CACHED_BYTES = 1024**3

# The library of kernels can be told to go without newer instructions, on any processor. The plugin
# does not look there, and would ask for kernels that are not to be had.
_ISA_LIMIT = "ONEDNN_MAX_CPU_ISA"
_ISAS_WITH_BF16 = ("BF16", "FP16", "AMX", "AVX10", "AVX2_VNNI_2", "ALL", "DEFAULT")

# How the names of tensors that are not of the text graph begin.
VISION_PARTS = ("vision_model.", "connector.")

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
    """The precisions this CPU has instructions for."""
    return tuple(name for name in PRECISIONS if name != "bf16" or _has_bf16())


def _has_bf16() -> bool:
    limit = os.environ.get(_ISA_LIMIT, "").upper()
    if limit and not any(word in limit for word in _ISAS_WITH_BF16):
        return False
    # The plugin's own default is bfloat16 on such CPUs, and only on them.
    native: bool = ov.Core().get_property(DEVICE, "INFERENCE_PRECISION_HINT") == ov.Type.bf16
    return native


def has_mlp_kernel(threads: int | None = None) -> bool:
    """Whether the plugin computes a whole MLP from 8-bit codes at once with so many threads.

    It takes AMX to do so.
    """
    return _has_bf16() and _probe_mlp_kernel(threads)


@cache
def _probe_mlp_kernel(threads: int | None) -> bool:
    """Nothing tells but graphs that were compiled: these are tiny, and take some 20 ms.

    The kernel divides by zero where one thread computes, already as it is compiled. How many do is
    told by a graph without it: no more than there are processors, whatever was asked for.
    """
    core, exact = ov.Core(), properties(numbers("text", "f32"), threads)
    alone = core.compile_model(tiny_mlp(), DEVICE, exact).get_property("INFERENCE_NUM_THREADS") == 1
    if alone:
        return False
    wanted = properties(numbers("text", "int8", whole_mlp=True), threads)
    nodes = core.compile_model(tiny_mlp(), DEVICE, wanted).get_runtime_model().get_ops()
    return any(node.get_rt_info()["layerType"].astype(str) == "LLMMLP" for node in nodes)


@dataclass(frozen=True)
class Numbers:
    """What a graph computes in.

    kind: the number type. cache: that of keys and values. group: how many activations share a scale
    next to stored codes; 0 leaves them as they are.
    """

    kind: ov.Type
    cache: ov.Type
    group: int = 0


def numbers(graph: GraphName, precision: str, *, whole_mlp: bool = False) -> Numbers:
    """What a graph of a precision computes in.

    From stored codes, bfloat16 is fastest where the plugin has a kernel for a whole MLP
    (`whole_mlp`): reading a prompt as with bfloat16 weights, and each token from half the bytes.
    Without it every step would unpack the codes first, and float32 with activations in 8 bits is
    fastest. The tower is never quantised that way, and takes bfloat16 where there is any.
    By default the plugin stores keys and values in 8 bits, and activations next to 8-bit weights:
    neither is what "f32" or "bf16" promises.
    """
    bf16, f32 = ov.Type.bf16, ov.Type.f32
    if precision not in LOADED:
        kind = bf16 if precision == "bf16" else f32
        return Numbers(kind, kind)
    if graph == "vision":
        kind = bf16 if _has_bf16() else f32
        return Numbers(kind, kind)
    if whole_mlp:
        return Numbers(bf16, bf16, WHOLE_ROW)
    return Numbers(f32, ov.Type.u8, ACTIVATION_GROUP)


def properties(chosen: Numbers, threads: int | None) -> Properties:
    """How OpenVINO is to run: answers as soon as possible, in these numbers."""
    wanted: Properties = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": chosen.kind,
        "KV_CACHE_PRECISION": chosen.cache,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": chosen.group,
    }
    return wanted if threads is None else wanted | {"INFERENCE_NUM_THREADS": threads}


class Compiler:
    """Compiles the graphs of one checkpoint in one precision."""

    def __init__(
        self, checkpoint: Checkpoint, rules: ImageRules, *, precision: str, threads: int | None
    ) -> None:
        self._checkpoint = checkpoint
        self._rules = rules
        self._precision = precision
        self._threads = threads
        self._used_threads: int | None = None
        self._core = ov.Core()
        self._schemes = _schemes(checkpoint, precision)
        self._has_whole_mlp: bool | None = None
        self.device = str(self._core.get_property(DEVICE, "FULL_DEVICE_NAME")).strip()

    def vision(self) -> CompiledGraph:
        """The graph of `openvino_vision.py`; `CacheError` when the cache cannot be written."""
        graph = self._graph("vision", lambda weights: build_vision_graph(weights, self._rules))
        self._used_threads = int(graph.model.get_property("INFERENCE_NUM_THREADS"))
        return graph

    def text(self) -> CompiledGraph:
        """The graph of `openvino_text.py`, to be taken after that of `vision`, whose threads count.

        `CacheError` when the cache cannot be written.
        """
        return self._graph("text", lambda weights: build_text_graph(weights, alone=self._alone))

    @property
    def _alone(self) -> bool:
        """Whether one thread computes, known once `vision` was compiled.

        What was asked for does not tell: OpenVINO takes no more threads than it has processors.
        """
        return self._used_threads == 1

    def _numbers(self, name: GraphName) -> Numbers:
        return numbers(name, self._precision, whole_mlp=name == "text" and self._whole_mlp())

    def _whole_mlp(self) -> bool:
        """Whether the text graph is compiled for the kernel of a whole MLP from codes."""
        if self._has_whole_mlp is None:
            fits = self._precision == "int8" and not self._alone
            self._has_whole_mlp = fits and has_mlp_kernel(self._threads)
        return self._has_whole_mlp

    def _graph(self, name: GraphName, build: Callable[[Weights], ov.Model]) -> CompiledGraph:
        if not self._is_cached(name):
            return self._compile(name, build, narrow=False)
        entry = self._entry(name)
        graph = self._import(name, entry)
        if graph is None:
            # Half the disk; without a cache it would be work in vain, for the plugin does it too.
            graph = self._compile(name, build, narrow=self._is_narrow(name))
            entry.store(graph.model.export_model().getbuffer())
        return graph

    def _is_narrow(self, name: GraphName) -> bool:
        return bool(self._numbers(name).kind == ov.Type.bf16)

    def _compile(
        self, name: GraphName, build: Callable[[Weights], ov.Model], *, narrow: bool
    ) -> CompiledGraph:
        # Only the text graph has such matrices.
        wide = DOWN if name == "text" and self._whole_mlp() else None
        weights = Weights(self._checkpoint, narrow=narrow, schemes=self._schemes, wide=wide)
        chosen = properties(self._numbers(name), self._threads)
        return CompiledGraph(self._core.compile_model(build(weights), DEVICE, chosen), weights)

    def _import(self, name: GraphName, entry: Entry) -> CompiledGraph | None:
        """The graph of a cache entry; None when there is none that can be used."""
        try:
            memory = entry.open()
            if memory is None:
                return None
            blob = ov.Tensor(memory.blob, shared_memory=True)
            chosen = properties(self._numbers(name), self._threads)
            model = self._core.import_model(blob, DEVICE, chosen)
        except (OSError, ValueError, RuntimeError) as error:
            _LOG.warning("compiling anew, %s cannot be used: %s", entry.path, error)
            return None
        return CompiledGraph(model, memory)

    def _is_cached(self, name: GraphName) -> bool:
        if (
            sum(self._stored_bytes(tensor) for tensor in self._checkpoint.names())
            > MAX_CACHED_BYTES
        ):
            return False
        if name == "vision" or self._is_narrow("text"):
            return True
        # An imported text graph is no longer recognised as a language model and widens 16-bit
        # weights to float32: twice the memory (measured on the 256M), half the decoding speed.
        return not any(
            len(self._checkpoint.shape(tensor)) > 1 and self._stored_type(tensor) in ("BF16", "F16")
            for tensor in self._checkpoint.names()
            if not tensor.startswith(VISION_PARTS)
        )

    def _stored_type(self, tensor: str) -> str:
        """How a tensor lies in the graph: "codes" where it is quantised."""
        if tensor in self._schemes or self._checkpoint.bits(tensor):
            return "codes"
        return self._checkpoint.dtype(tensor)

    def _stored_bytes(self, tensor: str) -> int:
        """About the bytes a tensor takes in a cache entry."""
        graph: GraphName = "vision" if tensor.startswith(VISION_PARTS) else "text"
        size = 1 if self._stored_type(tensor) == "codes" else 2
        wide = self._stored_type(tensor) == "F32" and not self._is_narrow(graph)
        return prod(self._checkpoint.shape(tensor)) * (4 if wide else size)

    def _entry(self, name: GraphName) -> Entry:
        place = (self._alone, self._whole_mlp()) if name == "text" else ()
        slot = f"{name}-{self._precision}-{digest(self.device, *place)[:8]}"
        key = digest(self._checkpoint.fingerprint, self._rules, ov.__version__, GRAPH_VERSION)
        return entry_for(self._checkpoint.folder, slot, key[:32])


def _schemes(checkpoint: Checkpoint, precision: str) -> dict[str, Scheme]:
    """The matrices to be quantised as they are loaded; none of a folder that has been."""
    if precision not in LOADED or checkpoint.is_quantized:
        return {}
    shapes = {name: checkpoint.shape(name) for name in checkpoint.names()}
    return LOADED[precision].resolve(shapes)
