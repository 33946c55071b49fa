"""How questions about written things are worded: at least five ways for each kind of answer.

`ask` fills in the names; which questions fit a picture is decided by the generators. The wordings
about drawn things are in `questions`.
"""

from __future__ import annotations

import random

WORDINGS: dict[str, tuple[str, ...]] = {
    "read": (
        "Read the text.", "What does it say?", "What is written here?", "Transcribe the text.",
        "What text is in the image?", "Write down the text you see.",
    ),
    "read word": (
        "Read the word.", "What does it say?", "What is written here?", "Which word is this?",
        "What word is in the image?", "Read the text.",
    ),
    "read lines": (
        "Read the text line by line.", "Write the text in order.", "Transcribe all lines.",
        "Read the text.", "What does the text say?", "Write out the whole text.",
    ),
    "read line": (
        "What does the {} line say?", "Read the {} line.", "What is written on the {} line?",
        "Give the text of the {} line.", "Transcribe the {} line.",
    ),
    "has word": (
        'Is the word "{}" in the image?', 'Does the text contain the word "{}"?',
        'Can you see the word "{}"?', 'Does the word "{}" appear?', 'Is "{}" written here?',
    ),
    "edge word": (
        "What is the {} word?", "Which word comes {}?", "Read only the {} word.",
        "Tell me the {} word of the text.", "Give the {} word.",
    ),
    "line of": (
        'Which line has the word "{}"?', 'On which line is the word "{}"?',
        'What is the number of the line with "{}"?', 'In which line does "{}" stand?',
        'Give the line number of the word "{}".',
    ),
    "count lines": (
        "How many lines of text are there?", "How many lines does the text have?",
        "Count the lines.", "What is the number of lines?",
        "Over how many lines does the text run?",
    ),
    "list item": (
        "What is the {} item?", "Read the {} item of the list.", "Which item is {} on the list?",
        "What does the {} entry say?", "Give the {} item.",
    ),
    "list count": (
        "How many items are on the list?", "How many entries does the list have?",
        "Count the items.", "What is the number of items?", "How many things are listed?",
    ),
    "list has": (
        'Is "{}" on the list?', 'Does the list contain "{}"?', 'Is "{}" one of the items?',
        'Can you find "{}" on the list?', 'Does "{}" appear among the items?',
    ),
    "list title": (
        "What is the title of the list?", "What is the heading?", "What is this a list of?",
        "Read the title.", "What does the headline say?",
    ),
    "after": (
        'What comes after "{}"?', 'Which item follows "{}"?', 'What is below "{}" on the list?',
        'What is the next item after "{}"?', 'Which entry stands right after "{}"?',
    ),
    "field": (
        "What is the {}?", "Read the {}.", "Give the {}.", "Tell me the {}.",
        "What does it say for the {}?", "Find the {}.",
    ),
    "kind": (
        "What kind of document is this?", "What type of document is shown?",
        "Which document is this?", "What is this document?", "Name the type of this document.",
    ),
    "price": (
        "What does {} cost?", "What is the price of {}?", "How much is {}?",
        "Find the price of {}.", "What is charged for {}?",
    ),
    "unit price": (
        "What is the price of {}?", "Find the price of {}.", "What is the unit price of {}?",
        "Read the price of {}.", "Give the price of one {}.",
    ),
    "amount": (
        "What is the amount for {}?", "Read the amount for {}.", "Which amount is given for {}?",
        "Find the amount for {}.", "Give the amount in the row {}.",
    ),
    "when": (
        "When is {}?", "At what time is {}?", "What time does {} start?", "When does {} begin?",
        "Give the time of {}.",
    ),
    "what at": (
        "What is at {}?", "What starts at {}?", "Which entry is at {}?", "What is planned for {}?",
        "What takes place at {}?",
    ),
    "quantity": (
        "How many of {} were bought?", "What is the quantity of {}?",
        "What quantity is given for {}?",
        "Read the quantity of {}.", "Give the quantity of {}.",
    ),
    "count items": (
        "How many different items are listed?", "How many items are there?", "Count the items.",
        "How many lines of items are there?", "What is the number of items listed?",
    ),
    "dearest": (
        "Which item is the most expensive?", "What costs the most?",
        "Which item has the highest price?",
        "Name the most expensive item.", "What is the dearest item?",
    ),
    "cheapest": (
        "Which item is the cheapest?", "What costs the least?", "Which item has the lowest price?",
        "Name the cheapest item.", "What is the least expensive item?",
    ),
    "json": (
        "Give {} as JSON.", "Extract {} as JSON.", "Write {} as JSON.", "Return JSON with {}.",
        "Answer in JSON: {}.",
    ),
    "is ticked": (
        "Is {} ticked?", "Is the box {} checked?", "Has the box {} been ticked?",
        "Is there a mark in the box {}?", "Is {} checked?",
    ),
    "cell": (
        "What is the {0} of {1}?", "What {0} does {1} have?", "Read the {0} in the row {1}.",
        "Look up the {0} of {1}.", "In the row {1}, what is the {0}?",
    ),
    "row with": (
        "Which {2} has the {1} {0}?", "What is the {2} with the {1} {0}?",
        "Name the {2} with the {1} {0}.", "Which {2} shows the {1} {0}?",
        "Find the {2} with the {1} {0}.",
    ),
    "row count": (
        "How many rows does the table have, without the header?",
        "How many rows of data are there?",
        "Count the rows below the header.", "How many entries are in the table?",
        "What is the number of data rows?",
    ),
    "column count": (
        "How many columns are there?", "How many columns does the table have?",
        "Count the columns.",
        "What is the number of columns?", "Into how many columns is the table divided?",
    ),
    "headers": (
        "What are the column names?", "Read the header row.", "List the column headings.",
        "Which columns does the table have?", "What does the header say?",
    ),
    "row of": (
        "Which {1} has the {0} {2}?", "What is the {1} whose {0} is {2}?",
        "For which {1} is the {0} {2}?",
        "The {0} {2} belongs to which {1}?", "Find the {1} whose {0} is {2}.",
    ),
    "greater": (
        "Is the {0} of {1} larger than that of {2}?", "Does {1} have a larger {0} than {2}?",
        "Is the {0} larger for {1} than for {2}?", "Compare the {0}: is {1} larger than {2}?",
        "Is {1} higher than {2} in {0}?",
    ),
    "title": (
        "What is the title?", "Read the title.", "What is the chart called?",
        "What is the title of the chart?", "What does the title say?",
    ),
    "table title": (
        "What is the title?", "Read the title.", "What is the table called?",
        "What is the title of the table?", "What does the heading say?",
    ),
    "value": (
        "What is the value for {}?", "How much is {}?", "What value does {} have?",
        "Read the value of {}.", "Give the value of {}.",
    ),
    "highest": (
        "Which {} is highest?", "Which {} has the largest value?",
        "What is the {} with the highest value?",
        "Name the {} with the largest value.", "Where is the maximum? Name the {}.",
    ),
    "lowest": (
        "Which {} is lowest?", "Which {} has the smallest value?",
        "What is the {} with the lowest value?",
        "Name the {} with the smallest value.", "Where is the minimum? Name the {}.",
    ),
    "larger": (
        "Is {0} larger than {1}?", "Is the value of {0} higher than that of {1}?",
        "Does {0} have a larger value than {1}?", "Is {0} above {1}?", "Is {0} more than {1}?",
    ),
    "bars": (
        "How many {} are there?", "Count the {}.", "How many {} does the chart have?",
        "What is the number of {}?", "How many {} do you see?",
    ),
    "axis": (
        "What is the label of the {} axis?", "What does the {} axis show?",
        "Read the {} axis label.",
        "What is written along the {} axis?", "Which quantity is on the {} axis?",
    ),
    "chart kind": (
        "What kind of chart is this?", "Which type of chart is shown?", "Name the chart type.",
        "What chart is this?", "Is this a bar chart, a line chart, a pie chart or a scatter plot?",
    ),
    "series": (
        "Which series are shown?", "What does the legend say?", "Name the series.",
        "Read the legend.", "What are the entries of the legend?",
    ),
    "series value": (
        "What is {0} for {1}?", "How much is {0} in {1}?", "Give the value of {0} for {1}.",
        "Read {0} at {1}.", "What value does {0} have for {1}?",
    ),
    "trend": (
        "From {1} to {2}, does {0} go up or down?", "Does {0} go up or down from {1} to {2}?",
        "How does {0} change from {1} to {2}: up or down?",
        "Between {1} and {2}, does {0} move up or down?",
        "Is {0} going up or down from {1} to {2}?",
    ),
    "row number": (
        "What is in the {0} row of the {1} column?", "Which {1} stands in the {0} row?",
        "What is the {0} {1} in the table?", "Read the {1} in the {0} row.",
        "Give the {1} of the {0} row.",
    ),
    "window title": (
        "What is the title of the window?", "Read the window title.",
        "What does the title bar say?",
        "What is the window called?", "Which window is open?",
    ),
    "button says": (
        "What does the {} button say?", "Read the {} button.", "What is written on the {} button?",
        "What is the label of the {} button?", "Which text is on the {} button?",
    ),
    "buttons": (
        "How many buttons are there?", "Count the buttons.",
        "How many buttons does the window have?",
        "What is the number of buttons?", "How many buttons do you see?",
    ),
    "field says": (
        "What is in the {} field?", "What text is in the {} field?",
        "What has been entered for {}?",
        "Read the {} field.", "What does the {} field contain?",
    ),
    "selected": (
        "Which {} is selected?", "What is chosen for {}?", "Which option is selected for {}?",
        "What is the selected {}?", "Name the {} that is selected.",
    ),
    "where": (
        "Where is the {}? Give x,y in 0-100.", "Point at the {}. Answer x,y in 0-100.",
        "At which x,y (0-100) is the {}?", "Give the position of the {} as x,y in 0-100.",
        "Where would you click for the {}? Answer x,y in 0-100.",
    ),
    "is disabled": (
        "Is the {} button greyed out?", "Is the {} button disabled?", "Is the button {} inactive?",
        "Is the {} button out of use?", "Does the {} button look disabled?",
    ),
    "is on": (
        "Is the switch {} on?", "Is {} switched on?", "Is {} turned on?", "Has {} been turned on?",
        "Is the {} switch set to on?",
    ),
    "read page": (
        "Read the text.", "What does the printed text say?", "Transcribe the text.",
        "Write down what is printed here.", "What is written on this piece of a page?",
    ),
}  # fmt: skip
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


def ask(rng: random.Random, form: str, *names: str) -> str:
    """A wording of the form with the names filled in."""
    return rng.choice(WORDINGS[form]).format(*names)
