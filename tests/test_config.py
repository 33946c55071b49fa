"""Every form of config.json in the field reads to one ModelConfig; broken ones are refused."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from transformers import Idefics3Config, SmolVLMConfig
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from smolvlm.config import ImageRules, ModelConfig, VideoRules
from smolvlm.errors import CheckpointError

GOLDEN = Path(__file__).parent / "golden" / "checkpoints"
NAMES = sorted(path.name.removesuffix(".config.json") for path in GOLDEN.glob("*.config.json"))
CLASSES = {"idefics3": Idefics3Config, "smolvlm": SmolVLMConfig}
SMALL = "SmolVLM2-256M-Video-Instruct"
# Of the keys that old versions wrote into every section, those the network depends on.
NETWORK_KEYS = {"hidden_act", "model_type", "num_key_value_heads", "tie_word_embeddings"}


def golden(name: str, kind: str = "config") -> dict[str, Any]:
    data: dict[str, Any] = json.loads((GOLDEN / f"{name}.{kind}.json").read_text())
    return data


def parse(name: str, data: dict[str, Any]) -> ModelConfig:
    return ModelConfig.from_json(data, golden(name, "generation_config"))


def official(name: str) -> Any:
    data = golden(name)
    return CLASSES[data["model_type"]].from_dict(copy.deepcopy(data))


def changed(path: str, value: Any, name: str = SMALL) -> dict[str, Any]:
    """The published config with one key (`section.key`) replaced."""
    data = golden(name)
    section, _, key = path.rpartition(".")
    (data[section] if section else data)[key] = value
    return data


def test_there_are_seven() -> None:
    assert len(NAMES) == 7


@pytest.mark.parametrize("name", NAMES)
def test_short_form_equals_the_published_class(name: str) -> None:
    config, theirs = parse(name, golden(name)), official(name)
    text, vision = theirs.text_config, theirs.vision_config
    for field in config.text.__dataclass_fields__.keys() - {"rope_theta"}:
        assert getattr(config.text, field) == getattr(text, field), field
    assert config.text.rope_theta == text.rope_parameters["rope_theta"]
    for field in config.vision.__dataclass_fields__:
        assert getattr(config.vision, field) == getattr(vision, field), field
    assert config.vision.head_dim == vision.hidden_size // vision.num_attention_heads
    assert (config.scale_factor, config.image_token_id) == (
        theirs.scale_factor,
        theirs.image_token_id,
    )
    assert config.tie_word_embeddings is theirs.tie_word_embeddings
    assert config.tokens_per_tile == golden(name, "processor_config")["image_seq_len"]
    assert config.unknown_keys == ()


@pytest.mark.parametrize("name", NAMES)
def test_special_ids(name: str) -> None:
    config = parse(name, golden(name))
    assert config.eos_token_ids == (golden(name, "generation_config")["eos_token_id"],)
    assert config.pad_token_id == 2


@pytest.mark.parametrize("name", NAMES)
def test_every_form_reads_the_same(name: str, tmp_path: Path) -> None:
    wanted, theirs = parse(name, golden(name)), official(name)
    theirs.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert "rope_theta" not in saved["text_config"] and "dtype" in saved
    expanded = json.loads(json.dumps(theirs.to_dict(), default=str))
    for form in (saved, expanded, expanded_by_4_46(name)):
        assert parse(name, form) == wanted


def expanded_by_4_46(name: str) -> dict[str, Any]:
    """The form of the 2.2B files: every section lists the generation defaults of its time."""
    data = golden(name)
    generic = data["text_config"]["perceiver_config"]
    generic = {
        key: value
        for key, value in generic.items()
        if key not in NETWORK_KEYS and not key.endswith("perceiver") and "resampler" not in key
    }
    assert len(generic) > 50
    data = {**generic, **data}
    data["vision_config"] = {**generic, **data["vision_config"]}
    data["text_config"] = {
        **generic, "rope_scaling": None, "attention_bias": False, "mlp_bias": False,
        "hidden_act": "silu", "pretraining_tp": 1, **data["text_config"],
    }  # fmt: skip
    return data


@pytest.mark.parametrize("name", NAMES)
def test_no_form_warns(name: str, tmp_path: Path) -> None:
    theirs = official(name)
    theirs.save_pretrained(tmp_path / "saved")
    for folder, form in (("short", golden(name)), ("long", expanded_by_4_46(name))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").write_text(json.dumps(form))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for folder in ("short", "long", "saved"):
            ModelConfig.from_folder(tmp_path / folder)


def test_old_500m_without_layer_count() -> None:
    data = golden("SmolVLM2-500M-Video-Instruct")
    del data["text_config"]["num_hidden_layers"]
    assert parse("SmolVLM2-500M-Video-Instruct", data).text.num_hidden_layers == 32


def test_vocabulary_size_only_at_the_top() -> None:
    data = golden(SMALL)
    del data["text_config"]["vocab_size"]
    assert parse(SMALL, data) == parse(SMALL, golden(SMALL))


def test_unknown_keys_are_named_with_a_hint(tmp_path: Path) -> None:
    data = golden(SMALL) | {"scale_facter": 4}
    data["text_config"] |= {"rms_norm_epsilon": 1e-5, "entirely_new": 1}
    data["text_config"]["rope_parameters"] = {"rope_theta": 100000, "beta_fast": 1}
    (tmp_path / "config.json").write_text(json.dumps(data))
    with pytest.warns(UserWarning, match="unknown keys ignored") as caught:
        config = ModelConfig.from_folder(tmp_path)
    assert config.unknown_keys == (
        "scale_facter",
        "text_config.rms_norm_epsilon",
        "text_config.entirely_new",
        "text_config.rope_parameters.beta_fast",
    )
    (message,) = [str(item.message) for item in caught]
    assert "scale_facter (did you mean scale_factor?)" in message
    assert "rms_norm_epsilon (did you mean rms_norm_eps?)" in message
    assert "entirely_new," in message


def test_eos_list_and_pad_outside_the_vocabulary() -> None:
    generation = {"eos_token_id": [49279, 2], "pad_token_id": 128002}
    data = changed("text_config.pad_token_id", None)
    config = ModelConfig.from_json(data, generation)
    assert (config.eos_token_ids, config.pad_token_id) == ((49279, 2), 2)
    assert ModelConfig.from_json(changed("text_config.pad_token_id", 7)).pad_token_id == 7


BROKEN = [
    ("model_type", "llava", "model_type = 'llava'; wanted 'idefics3' or 'smolvlm'"),
    ("model_type", ["smolvlm"], "model_type = ['smolvlm']"),
    ("text_config", None, "text_config = None; wanted an object"),
    ("vision_config", [1], "vision_config = [1]; wanted an object"),
    ("scale_factor", None, "scale_factor = None; wanted a positive integer"),
    ("scale_factor", 3, "scale_factor = 3; wanted a divisor of the patch grid"),
    ("scale_factor", True, "scale_factor = True; wanted a positive integer"),
    ("image_token_id", "<image>", "image_token_id = '<image>'; wanted a positive integer"),
    ("image_token_id", 49280, "image_token_id = 49280; wanted an id below vocab_size (49280)"),
    ("tie_word_embeddings", "no", "tie_word_embeddings = 'no'; wanted true or false"),
    ("eos_token_id", "2", "eos_token_id = '2'; wanted a token id or a list"),
    ("eos_token_id", [1, 49280], "eos_token_id = (1, 49280); wanted an id below vocab_size"),
    ("text_config.hidden_size", None, "text_config has hidden_size = None"),
    ("text_config.hidden_size", 576.0, "hidden_size = 576.0; wanted a positive integer"),
    ("text_config.hidden_size", -1, "hidden_size = -1; wanted a positive integer"),
    ("text_config.num_key_value_heads", 4, "wanted a multiple of num_key_value_heads (4)"),
    ("text_config.head_dim", 63, "head_dim = 63; wanted an even number"),
    ("text_config.rope_theta", None, "rope_theta = None; wanted a positive number"),
    ("text_config.rope_theta", float("nan"), "rope_theta = nan; wanted a positive number"),
    ("text_config.rope_theta", 10**400, "wanted a positive number"),
    ("text_config.rope_parameters", {"rope_theta": 10000}, "10000 as in rope_parameters"),
    ("text_config.rope_parameters", {"rope_type": "yarn"}, "rope_type = 'yarn'; wanted 'default'"),
    ("text_config.rope_parameters", 5, "rope_parameters = 5; wanted an object or null"),
    ("text_config.rope_scaling", {"type": "linear"}, "rope_type = 'linear'; wanted 'default'"),
    ("text_config.rms_norm_eps", "1e-5", "rms_norm_eps = '1e-5'; wanted a positive number"),
    ("text_config.model_type", "mistral", "model_type = 'mistral'; wanted 'llama'"),
    ("text_config.hidden_act", "gelu", "hidden_act = 'gelu'; wanted 'silu'"),
    ("text_config.attention_bias", True, "attention_bias = True; wanted False"),
    ("text_config.use_resampler", True, "use_resampler = True; wanted False"),
    ("vision_config.hidden_act", "gelu", "hidden_act = 'gelu'; wanted 'gelu_pytorch_tanh'"),
    ("vision_config.num_attention_heads", 7, "wanted a multiple of num_attention_heads (7)"),
    ("vision_config.image_size", 8, "image_size // patch_size (0)"),
    ("vision_config.image_size", [512, 512], "image_size = [512, 512]; wanted a positive integer"),
    ("vision_config.num_channels", 4, "num_channels = 4; wanted 3 (RGB)"),
]


@pytest.mark.parametrize(("path", "value", "message"), BROKEN)
def test_broken_values_are_named(path: str, value: Any, message: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        ModelConfig.from_json(changed(path, value))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not valid JSON"),
        ('{"model_type": ', "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[1]", "holds a list; wanted a JSON object"),
        (None, "is missing; a model folder needs it"),
    ],
)
def test_broken_json_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        ModelConfig.from_folder(tmp_path)


def test_unreadable_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(CheckpointError, match="is not valid JSON"):
        ModelConfig.from_folder(tmp_path)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").mkdir()
    with pytest.raises(CheckpointError, match="cannot be read"):
        ModelConfig.from_folder(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_image_rules(name: str) -> None:
    data = golden(name, "preprocessor_config")
    rules, config = ImageRules.from_json(data), parse(name, golden(name))
    assert rules.longest_edge == data["size"]["longest_edge"]
    assert rules.tile == config.vision.image_size
    assert (rules.split, rules.resample) == (True, 1)
    assert rules.image_mean == rules.image_std == (0.5, 0.5, 0.5)
    assert rules.rescale_factor == 0.00392156862745098


@pytest.mark.parametrize("name", NAMES)
def test_video_rules(name: str) -> None:
    rules = VideoRules.from_json(golden(name, "preprocessor_config"))
    if "SmolVLM2" not in name:
        assert rules is None
    else:
        assert rules == VideoRules(
            fps=1.0, max_frames=64, longest_edge=384 if "2.2B" in name else 512
        )


def test_rules_saved_inside_processor_config(tmp_path: Path) -> None:
    """transformers 5 saves the image rules within processor_config.json."""
    data = golden(SMALL, "preprocessor_config")
    processor = Idefics3ImageProcessorPil(
        **{k: v for k, v in data.items() if not k.endswith(("_type", "_class"))}
    )
    nested = {"image_processor": json.loads(processor.to_json_string()), "image_seq_len": 64}
    (tmp_path / "processor_config.json").write_text(json.dumps(nested))
    assert ImageRules.from_folder(tmp_path) == ImageRules.from_json(data)
    assert VideoRules.from_folder(tmp_path) == VideoRules.from_json(data)


def test_rules_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json is missing"):
        ImageRules.from_folder(tmp_path)
    (tmp_path / "processor_config.json").write_text('{"image_seq_len": 64}')
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json is missing"):
        ImageRules.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("do_resize", False, "do_resize = False; wanted true"),
        ("do_image_splitting", 1, "do_image_splitting = 1; wanted true or false"),
        ("size", None, "size = None; wanted an object with longest_edge"),
        ("max_image_size", {"height": 3}, "longest_edge = None; wanted a positive integer"),
        ("image_mean", [0.5, 0.5], "image_mean = [0.5, 0.5]; wanted three numbers"),
        ("image_std", [0.5, 0.5, "x"], "wanted three numbers"),
        ("rescale_factor", 0, "rescale_factor = 0; wanted a positive number"),
        ("resample", "lanczos", "resample = 'lanczos'; wanted a positive integer"),
    ],
)
def test_broken_image_rules_are_named(key: str, value: Any, message: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        ImageRules.from_json(golden(SMALL, "preprocessor_config") | {key: value})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (3, "video_sampling = 3; wanted an object"),
        ({"max_frames": 64, "video_size": {"longest_edge": 512}}, "fps = None"),
        ({"fps": 1, "max_frames": 0.5, "video_size": {}}, "max_frames = 0.5"),
        ({"fps": 1, "max_frames": 64}, "video_size = None"),
    ],
)
def test_broken_video_rules_are_named(sampling: Any, message: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        VideoRules.from_json({"video_sampling": sampling})
    assert message in str(caught.value)
