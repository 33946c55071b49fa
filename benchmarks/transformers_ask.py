"""The other side of `cold_start.py`: the same question to the same folder, as the guides write it.

    python benchmarks/transformers_ask.py FOLDER PICTURE QUESTION MAX_NEW_TOKENS

The parts of the processor are put together by hand because `AutoProcessor` wants torchvision for
its video half. One tile, bfloat16, greedy. Prints the answer and how many tokens it took.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoTokenizer, Idefics3Processor
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

folder, picture, question, max_new_tokens = sys.argv[1:]
rules = json.loads(Path(folder, "processor_config.json").read_text())
processor: Any = Idefics3Processor(
    Idefics3ImageProcessorPil.from_pretrained(folder, do_image_splitting=False),
    AutoTokenizer.from_pretrained(folder),
    image_seq_len=rules["image_seq_len"],
    chat_template=Path(folder, "chat_template.jinja").read_text(),
)
model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.bfloat16)
content = [{"type": "image"}, {"type": "text", "text": question}]
prompt = processor.apply_chat_template(
    [{"role": "user", "content": content}], add_generation_prompt=True
)
image = Image.open(picture).convert("RGB")
inputs = processor(text=prompt, images=[image], return_tensors="pt").to(torch.bfloat16)
made = model.generate(**inputs, max_new_tokens=int(max_new_tokens), do_sample=False)
tokens = made[0, inputs["input_ids"].shape[1] :]  # (prompt + new,) -> (new,)
answer = processor.decode(tokens, skip_special_tokens=True)
print(json.dumps({"answer": answer.strip(), "tokens": len(tokens)}))
