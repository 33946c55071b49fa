"""E15: texts without pictures, to see whether the language half has forgotten anything.

Fifty passages of speeches that are in no training text, and fifty instructions with plain answers.
How likely the model finds them is compared before and after training.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from recipes.embedded.materials import Materials
from recipes.embedded.suite.rows import Row
from smolvlm.types import Message, TextPart

PASSAGES = 50
SENTENCES = 3  # of a passage, one after another in the speech
SPEECH_QUESTION = "Write a few sentences of a speech to parliament."

INSTRUCTIONS = (
    ("What is the capital of France?", "The capital of France is Paris."),
    ("What is the capital of Japan?", "The capital of Japan is Tokyo."),
    ("Which planet is closest to the sun?", "Mercury is the planet closest to the sun."),
    ("How many days are there in a week?", "There are seven days in a week."),
    ("How many months have 31 days?", "Seven months have 31 days."),
    ("What do bees make?", "Bees make honey."),
    ("What is the opposite of hot?", "The opposite of hot is cold."),
    ("Name three primary colours.", "Red, yellow and blue are three primary colours."),
    ("What is frozen water called?", "Frozen water is called ice."),
    ("What is 7 plus 5?", "7 plus 5 is 12."),
    ("What is 9 times 3?", "9 times 3 is 27."),
    ("What is half of 50?", "Half of 50 is 25."),
    ("Write the plural of mouse.", "The plural of mouse is mice."),
    ("Write the past tense of go.", "The past tense of go is went."),
    ("Who wrote Romeo and Juliet?", "William Shakespeare wrote Romeo and Juliet."),
    ("What language is spoken in Brazil?", "Portuguese is spoken in Brazil."),
    ("What is a baby cat called?", "A baby cat is called a kitten."),
    ("Which animal barks?", "A dog barks."),
    ("What do plants need to grow?", "Plants need water, light, air and nutrients to grow."),
    ("Why do we have day and night?", "We have day and night because the Earth turns on its axis."),
    ("What is the largest ocean?", "The Pacific Ocean is the largest ocean."),
    ("On which continent is Egypt?", "Egypt is in Africa."),
    ("What is the boiling point of water?", "Water boils at 100 degrees Celsius."),
    ("Name a fruit that is yellow.", "A banana is a fruit that is yellow."),
    ("What tool do you use to drive a nail?", "You use a hammer to drive a nail."),
    ("What is a synonym of happy?", "A synonym of happy is glad."),
    ("What is an antonym of early?", "An antonym of early is late."),
    ("How many legs does a spider have?", "A spider has eight legs."),
    ("How many sides does a triangle have?", "A triangle has three sides."),
    ("What comes after Monday?", "Tuesday comes after Monday."),
    ("Which season follows winter?", "Spring follows winter."),
    ("What is the first letter of the alphabet?", "The first letter of the alphabet is A."),
    ("Spell the word cat.", "The word cat is spelled C-A-T."),
    ("Give a rhyme for the word light.", "A rhyme for the word light is night."),
    ("What is bread made of?", "Bread is made of flour, water, yeast and salt."),
    ("What does a thermometer measure?", "A thermometer measures temperature."),
    ("What do we call a person who bakes bread?", "A person who bakes bread is called a baker."),
    ("Where do fish live?", "Fish live in water."),
    ("What is the currency of the United States?", "It is the United States dollar."),
    ("Who was the first person on the moon?", "Neil Armstrong was the first person on the moon."),
    ("Which gas do we breathe in to live?", "We breathe in oxygen to live."),
    ("How many hours does a day have?", "A day has 24 hours."),
    ("Translate the Spanish word gracias.", "The Spanish word gracias means thank you."),
    ("Complete the sentence: The sun rises in the", "The sun rises in the east."),
    ("Is a whale a fish or a mammal?", "A whale is a mammal."),
    ("Is the number 8 even or odd?", "The number 8 is even."),
    ("Which is heavier, a feather or a stone?", "A stone is heavier than a feather."),
    ("Sort these words: cherry, apple, banana.", "Apple, banana, cherry."),
    ("Make a sentence with the word garden.", "The children are playing in the garden."),
    ("Give me a tip for better sleep.", "Go to bed at the same time every night."),
)


@dataclass(frozen=True)
class Texts:
    """The plan: all instructions, and passages of the held-out speeches."""

    def rows(self, materials: Materials, name: str) -> list[Row]:
        """The item list of task `name`."""
        sentences = materials.sentences("test")
        step = len(sentences) // PASSAGES
        passages = [
            " ".join(sentences[start : start + SENTENCES])
            for start in range(0, step * PASSAGES, step)
        ]
        pairs = [*INSTRUCTIONS, *((SPEECH_QUESTION, passage) for passage in passages)]
        random.Random(name).shuffle(pairs)
        return [
            Row(id=f"{name}/{number}", question=question, targets=[answer])
            for number, (question, answer) in enumerate(pairs)
        ]

    def message(self, row: Row, materials: Materials) -> Message:
        """The user's turn of an item: words only."""
        return Message("user", (TextPart(row["question"]),))
