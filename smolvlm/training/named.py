"""The stages that have a name: the published ones, number by number, and the embedded model's.

Sources, quoted by `smolvlm train --dry-run` beside every number:

- the training configs in github.com/huggingface/smollm, vision/experiments/pretraining/vloom
  (tr_341, tr_345, tr_346: 256M; tr_343, tr_347, tr_349: 500M; tr_348, tr_350: 2.2B),
- its video scripts, vision/smolvlm2/scripts/train (multinode25: 2.2B; multinode26: 256M and 500M),
- its notebook vision/finetuning/Smol_VLM_FT.ipynb,
- what was measured on the embedded model (`recipes/embedded`).

Two things differ from what is published and are said in the sources: their batches count packed
sequences where ours count samples, and their random up-scaling before tiling is not made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from smolvlm.errors import UnknownNameError
from smolvlm.processing.split import MAX_GRID
from smolvlm.processing.tokenizer import END_OF_UTTERANCE, FAKE, GLOBAL, tile_name
from smolvlm.training.stages import (
    TEXT_LINEARS,
    Adapter,
    Part,
    Recipe,
    Rows,
    Schedule,
    Stage,
    read_stage,
)

VISION_LINEARS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
SIDES = range(1, MAX_GRID + 1)
PICTURE_TOKENS = (FAKE, GLOBAL, *(tile_name(row, col) for row in SIDES for col in SIDES))
SEQUENCES = "sequences of up to 7000 tokens there, samples here"
OURS = "ours: not published"


def _dora(where: tuple[str, ...]) -> Adapter:
    return Adapter("dora", rank=64, alpha=16.0, dropout=0.1, where=where)


IMAGE_1 = Recipe(
    "image-1",
    "published image stage 1 (256M): towers joined; DoRA, embeddings and norms in full",
    Stage(
        vision=Part(1e-4, _dora(VISION_LINEARS), full=("embeddings", "norm")),
        connector=Part(1e-4),
        text=Part(1e-4, _dora((*TEXT_LINEARS, "lm_head")), full=("norm",)),
        rows=Rows(1e-4, PICTURE_TOKENS),
        schedule=Schedule("linear", steps=25_750, length=500_000, warm_up=2000),
        batch=1024,
        micro_tokens=14_000,
        length=7000,
        policy="reference",
        weight_decay=0.1,
        checkpointing=True,
    ),
    {
        "": "tr_341 config",
        "schedule.steps": "step of tr_341 that stage 2 started from",
        "batch": f"tr_341 config: 1024 {SEQUENCES}",
        "micro_tokens": "tr_341 config: 2 sequences of 7000 a GPU",
        "policy": "tr_341 config, without its random up-scaling",
        "mixture": "not public: 60 % captions, 40 % OCR documents",
        **dict.fromkeys(("licence", "layout", "max_tiles", "seed", "schedule.floor"), OURS),
        **dict.fromkeys(("validation", "validate_every", "schedule.time_budget"), OURS),
    },
)
IMAGE_2 = Recipe(
    "image-2",
    "published image stage 2 (256M): everything trained; 30 % OCR, 70 % instructions",
    replace(
        IMAGE_1.stage,
        vision=Part(1e-4),
        text=Part(1e-4),
        rows=Rows(),
        schedule=Schedule("linear", steps=3000, length=6000, warm_up=100),
        batch=2048,
        micro_tokens=28_000,
        neftune=5.0,
    ),
    {
        **IMAGE_1.sources,
        "": "tr_345 config",
        "schedule.steps": "step of tr_345 that stage 3 started from",
        "batch": f"tr_345 config: 2048 {SEQUENCES}",
        "micro_tokens": "tr_345 config: 4 sequences of 7000 a GPU",
        "policy": "tr_345 config, without its random up-scaling",
        "mixture": "not public: 30 % OCR documents, 70 % instructions",
    },
)
IMAGE_3 = Recipe(
    "image-3",
    "published image stage 3 (256M): everything trained; instructions only",
    replace(
        IMAGE_2.stage,
        schedule=Schedule("linear", steps=1430, length=2000, warm_up=100),
        batch=8192,
    ),
    {
        **IMAGE_2.sources,
        "": "tr_346 config",
        "schedule.steps": "last step of tr_346 they evaluated; which one was released is not known",
        "batch": f"tr_346 config: 8192 {SEQUENCES}",
        "micro_tokens": "tr_346 config: 4 sequences of 7000 a GPU",
        "policy": "tr_346 config, without its random up-scaling",
        "mixture": "Docmatix 250k, MathWriting and The Cauldron with published multipliers",
    },
)
VIDEO_SMALL = Recipe(
    "video-small",
    "published video stage (256M and 500M): everything trained, a rate for each part",
    Stage(
        vision=Part(5e-6),
        connector=Part(1e-4),
        text=Part(2e-5),
        schedule=Schedule("cosine", steps=5910, warm_up_share=0.03),
        batch=512,
        micro_tokens=65_536,
        length=8192,
        layout="right",
        policy="reference",
        checkpointing=True,
    ),
    {
        "": "multinode26 scripts",
        "schedule.steps": "one epoch of 3,027,020 samples: computed from the mixture file",
        "micro_tokens": "multinode26 scripts: 8 samples of up to 8192 tokens a GPU",
        "mixture": "onevision_no_mammoth_more_image_balanced.yaml of the same repository",
        **dict.fromkeys(("licence", "max_tiles", "seed", "schedule.floor"), OURS),
        **dict.fromkeys(("validation", "validate_every", "schedule.time_budget"), OURS),
    },
)
LORA = Recipe(
    "lora",
    "fine-tuning as in the published notebook: DoRA on the language model, pictures as they are",
    Stage(
        text=Part(1e-4, Adapter("dora", rank=8, alpha=8.0, dropout=0.1)),
        schedule=Schedule("linear", steps=670, warm_up=50),
        batch=16,
        weight_decay=0.01,
        checkpointing=True,
    ),
    {
        "": OURS,
        **dict.fromkeys(("text", "batch", "weight_decay", "checkpointing"), "Smol_VLM_FT notebook"),
        "schedule": "Smol_VLM_FT notebook",
        "schedule.steps": "one epoch of its 10,717 rows: computed",
        "schedule.kind": "the default of the trainer it calls",
    },
)
EMBEDDED = Recipe(
    "embedded",
    "the embedded model: frozen tower, connector in full, LoRA on the language model, three rows",
    Stage(
        connector=Part(5e-6),
        text=Part(1e-3, Adapter(where=("q_proj", "v_proj", "o_proj", "up_proj", "down_proj"))),
        rows=Rows(1e-3, (FAKE, GLOBAL, END_OF_UTTERANCE)),
        schedule=Schedule("cosine", time_budget=3600.0, warm_up_share=0.03, floor=0.1),
        batch=24,
        length=1024,
        max_tiles=1,
        beta2=0.98,
    ),
    {
        "": "the first run of recipes/embedded",
        "connector.rate": "recipes/embedded/tried.md: 1e-4 undid the start",
        **dict.fromkeys(("vision", "layout", "length", "licence", "micro_tokens", "mixture"), OURS),
        **dict.fromkeys(("policy", "max_tiles", "neftune", "checkpointing", "validation"), OURS),
        **dict.fromkeys(("validate_every", "schedule.steps", "schedule.length"), OURS),
    },
)


def _sized(recipe: Recipe, name: str, size: str, run: str, steps: int) -> Recipe:
    """A published stage for another size: the same but for its steps."""
    schedule = replace(recipe.stage.schedule, steps=steps)
    sources = {
        key: value.replace(recipe.sources[""].split()[0], run)
        for key, value in recipe.sources.items()
    }
    about = recipe.about.replace("256M", size)
    return Recipe(name, about, replace(recipe.stage, schedule=schedule), sources)


VIDEO_2B = _sized(VIDEO_SMALL, "video-2b", "2.2B", "multinode25", 6550)
NAMED: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        EMBEDDED,
        LORA,
        IMAGE_1,
        _sized(IMAGE_1, "image-1-500m", "500M", "tr_343", 24_750),
        _sized(IMAGE_1, "image-1-2b", "2.2B", "tr_348", 22_250),
        IMAGE_2,
        _sized(IMAGE_2, "image-2-500m", "500M", "tr_347", 3000),
        IMAGE_3,
        _sized(IMAGE_3, "image-3-500m", "500M", "tr_349", 2380),
        VIDEO_SMALL,
        replace(
            VIDEO_2B,
            about="published video stage (2.2B): everything trained, a rate for each part",
            stage=replace(VIDEO_2B.stage, micro_tokens=32_768),
            sources={
                **VIDEO_2B.sources,
                "schedule.steps": "one epoch of 3,353,818 samples: computed from the mixture file",
                "micro_tokens": "multinode25 script: 4 samples of up to 8192 tokens a GPU",
                "mixture": "onevision_less_mammoth_more_videos_balanced.yaml of that repository",
            },
        ),
    )
}


def find_stage(name: str) -> Recipe:
    """A stage by name or YAML file; `UnknownNameError` lists those there are."""
    if name.endswith((".yaml", ".yml")):
        return read_stage(Path(name), NAMED)
    if name not in NAMED:
        raise UnknownNameError(
            f"there is no stage named {name!r}; known: {', '.join(NAMED)}, or a .yaml file"
        )
    return NAMED[name]
