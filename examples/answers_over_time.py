"""What a clip shows, second by second, as subtitles: here a slow pan over a photo.

python examples/answers_over_time.py
"""

from pathlib import Path

from PIL import Image

import smolvlm
from smolvlm.media.videos import Frame, open_video
from smolvlm.types import VideoOptions
from smolvlm.video.segments import answer_each, divide
from smolvlm.video.subtitles import Cue, to_srt

photo = Image.open(Path(__file__).with_name("cat.png")).convert("RGB")
frames = [Frame(photo.crop((25 * n, 0, 25 * n + 300, 300)), float(n)) for n in range(6)]

assistant = smolvlm.load("embedded")
with open_video(frames) as video:  # a path does as well: open_video("clip.mp4")
    segments = divide(video, VideoOptions(), every=3.0)
    answers = answer_each(assistant, video, segments, "What is this?", VideoOptions(), {})
    print(to_srt(Cue(answer.start, answer.end, answer.text) for answer in answers))
