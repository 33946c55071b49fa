"""The answer as it is made, cut short when enough has been read.

python examples/stream_answer.py
"""

from pathlib import Path

import smolvlm

ENOUGH = 200  # characters

assistant = smolvlm.load("embedded")
shown = 0
with assistant.stream(Path(__file__).with_name("cat.png"), "Describe the image.") as pieces:
    for piece in pieces:
        print(piece, end="", flush=True)
        shown += len(piece)
        if shown >= ENOUGH:
            break  # leaving the block stops the model
print()
