"""Which keys of `config.json` mean something here, and which are known to mean nothing.

Whatever is in neither list is named to the user: a misspelt key would otherwise be ignored without
a word. The inert keys are those of the published files and those that transformers 4.46 to 5.23 add
when they save one. Pure data and a look-up; `config.py` reads the values.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

TEXT_INTEGERS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
)
VISION_INTEGERS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_channels",
    "image_size",
    "patch_size",
)
# Meaningful keys by section; "" is the top of the file.
KNOWN: Mapping[str, frozenset[str]] = {
    "": frozenset(
        [
            "model_type",
            "text_config",
            "vision_config",
            "scale_factor",
            "image_token_id",
            "tie_word_embeddings",
            "eos_token_id",
            "vocab_size",
            "quantization_config",  # read by weights/quantized.py
        ]
    ),
    "text_config.": frozenset(TEXT_INTEGERS)
    | frozenset(
        [
            "rms_norm_eps",
            "rope_theta",
            "rope_parameters",
            "rope_scaling",
            "hidden_act",
            "attention_bias",
            "mlp_bias",
            "eos_token_id",
            "pad_token_id",
            "model_type",
            "use_resampler",
            "qk_layer_norms",
        ]
    ),
    "text_config.rope_parameters.": frozenset(("rope_theta", "rope_type")),
    "vision_config.": frozenset((*VISION_INTEGERS, "layer_norm_eps", "hidden_act")),
}
# Seen in published files or written by transformers; the network does not depend on them.
INERT = frozenset(
    [
        "_attn_implementation_autoset",
        "_flash_attn_2_enabled",
        "_name_or_path",
        "_pad_token_id",
        "add_cross_attention",
        "architectures",
        "attention_dropout",
        "bad_words_ids",
        "begin_suppress_tokens",
        "bos_token_id",
        "chunk_size_feed_forward",
        "cross_attention_hidden_size",
        "decoder_start_token_id",
        "diversity_penalty",
        "do_sample",
        "dtype",
        "early_stopping",
        "encoder_no_repeat_ngram_size",
        "eos_token_id",
        "exponential_decay_length_penalty",
        "finetuning_task",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "id2label",
        "image_seq_len",
        "initializer_factor",
        "initializer_range",
        "is_decoder",
        "is_encoder_decoder",
        "is_llama_config",
        "label2id",
        "length_penalty",
        "max_image_size",
        "max_length",
        "min_length",
        "model_type",
        "neftune_noise_alpha",
        "no_repeat_ngram_size",
        "num_beam_groups",
        "num_beams",
        "num_return_sequences",
        "output_attentions",
        "output_hidden_states",
        "output_scores",
        "pad_token_id",
        "perceiver_config",
        "pixel_shuffle_factor",
        "prefix",
        "pretraining_tp",
        "problem_type",
        "pruned_heads",
        "remove_invalid_values",
        "repetition_penalty",
        "return_dict",
        "return_dict_in_generate",
        "rope_interleaved",
        "sep_token_id",
        "size",
        "suppress_tokens",
        "task_specific_params",
        "temperature",
        "tf_legacy_loss",
        "tie_encoder_decoder",
        "tie_word_embeddings",
        "tokenizer_class",
        "top_k",
        "top_p",
        "torch_dtype",
        "torchscript",
        "transformers.js_config",
        "transformers_version",
        "typical_p",
        "use_base_siglip",
        "use_bfloat16",
        "use_cache",
        "use_reentrant_checkpointing",
    ]
)


def unknown_keys(sections: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """The keys of each section (prefix → keys) that are in neither list, as `section.key`."""
    return tuple(
        prefix + key
        for prefix, keys in sections.items()
        for key in keys
        if key not in KNOWN[prefix] and key not in INERT
    )


def describe_unknown(keys: Sequence[str]) -> str:
    """Unknown keys in one line, each with the known key it may have been meant to be."""
    return ", ".join(key + _hint(key) for key in keys)


def _hint(key: str) -> str:
    section, dot, name = key.rpartition(".")
    near = difflib.get_close_matches(name, KNOWN[section + dot], n=1, cutoff=0.75)
    return f" (did you mean {near[0]}?)" if near else ""
