"""Two turns about two pictures; what was read in the first turn is not read again in the second.

python examples/chat_about_two_pictures.py
"""

from pathlib import Path

from PIL import Image

import smolvlm

cat = Image.open(Path(__file__).with_name("cat.png"))
pictures = [{"type": "image", "image": view} for view in (cat, cat.convert("L"))]

assistant = smolvlm.load("embedded", max_tiles=1)
words = {"type": "text", "text": "What do both pictures show?"}
messages = [{"role": "user", "content": [*pictures, words]}]
for follow_up in ("Which one is grey?", None):
    answer = assistant.chat(messages, max_new_tokens=48)
    print(answer.text)
    print(f"  ({answer.timings.reused_tokens} of {answer.timings.prompt_tokens} tokens reused)")
    if follow_up:
        messages += [{"role": "assistant", "content": answer.text}]
        messages += [{"role": "user", "content": follow_up}]
