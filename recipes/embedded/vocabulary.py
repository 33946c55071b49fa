"""Word lists behind the label rules of `labels`: data only, each with what it is for."""

from __future__ import annotations


def _split(text: str, between: str | None = None) -> frozenset[str]:
    """The words (or the phrases between `between`) of a block of text."""
    return frozenset(" ".join(part.split()) for part in text.split(between))


# A label is cut at these words; what stands before the first of them is the thing itself.
SPLITTERS = _split(
    """
    with without in on of from for at behind and to by under inside facing over near
    """
)

# "a cup of coffee" may be answered by what is in it.
PARTITIVES = _split(
    """
    cut piece slice pot bunch pair sheaf glass bottle cup drop roll ear pan bowl head string
    tube quarter cluster loaf couple box jar bag basket plate stack pile sheet bouquet
    """
)

# True of too many things to count as a name.
GENERAL = _split(
    """
    animal creature beast mammal food foodstuff fruit vegetable plant tool implement vehicle
    craft drink beverage building structure place clothing clothes garment object thing device
    container instrument equipment body person dish meal area location part piece item unit
    artifact product material substance system way line mark covering furniture machine
    conveyance transport solid game sport weather time paper sign symbol matter nutrient produce
    herb shape point side top face head hand work set suit caput stick string thread medium
    internet cyberspace tableware cock lid sup fume brand
    """
) | {"home plate", "home base", "ass", "arse", "butt", "fag"}

# Words of mood and size that a sentence may carry and a name should not.
MOODS = _split(
    """
    a an the some very big huge large small little tiny happy modern old another colorful
    colourful lit ripe sweet pretty cute nice funny great full empty spare beautiful poisonous
    wrapped smiling sleeping sitting standing closed folded dream floppy eared stripey pair
    couple basic fancy uk singing
    """
)

COLOURS = _split(
    """
    black white grey gray red orange yellow green blue purple pink brown gold golden silver
    """
)

# Scraps in Open Clip Art titles and file names that say nothing about the thing drawn.
JUNK_WORDS = _split(
    """
    bw b w clipart clip art icon icons simple simplified silhouette outline outlined cartoon
    stylized stylised vector svg png etiquette tux drawing picture image line lineart ganson
    colour color coloured colored version alt new soft plain generic various submission
    architetto francesco rollandin r theme rpg map elements stencil tango style glossy contour
    sketch scalable free open library project the a an my
    """
)

# Heads that make a label useless whatever stands before them.
JUNK_HEADS = _split(
    """
    icon symbol sign button logo pattern gradient frame border shape template theme silhouette
    outline drawing cartoon picture image collection set map flag clipart art design element
    background texture line lines type style part parts thing object item color colour top side
    front back left right view screenshot diagram letter number card banner label text word
    scene network switch system mark print figure sketch form piece copy graphic graphics site
    page web linux world north south east west state country area antilope vertical rilievo mix
    pantyhose flourish people man woman boy girl
    """
)

# Open Clip Art labels that passed every rule and are still wrong or useless for their picture.
DROPPED = _split(
    """
    aquila; arctic; autos; carnegie building; cassette video; clean palm; double note two;
    easter; eris apple; evolution steps; fall leaf; food; gateway; gis computer; green burner;
    half egg; head; heart arrow; heart tiles; houses; hub; human; internet; lens; mad ship;
    mobile; natural gas pump well; nodding donkey; orange burner; paint roller wall; patchwork;
    pda; pen pencil; phone handset gray; pimp hat; plush; port hub; projectile; rana; ras; round
    point shovel; router; router cisco; scotch; slate apple; soviet shuttle; sprint cell phone;
    switch cisco; three eyes; tools; toyota land cruiser; tree whit fruits; trumpet flat; video;
    video lcd; virus
    """,
    between=";",
)

# CLDR labels that nobody would say, and what the drawing shows.
RENAMED: dict[str, str] = {
    "1st place medal": "gold medal",
    "2nd place medal": "silver medal",
    "3rd place medal": "bronze medal",
    "pool 8 ball": "billiard ball",
    "lady beetle": "ladybug",
    "cooking": "fried egg",
    "locked": "padlock",
    "unlocked": "open padlock",
    "locked with pen": "padlock with pen",
    "locked with key": "padlock with key",
    "mahjong red dragon": "mahjong tile",
    "joker": "joker card",
    "hot beverage": "hot drink",
    "steaming bowl": "bowl of noodles",
    "shallow pan of food": "pan of food",
    "e-mail": "email envelope",
    "package": "cardboard box",
    "page facing up": "sheet of paper",
    "page with curl": "curled page",
    "memo": "paper and pencil",
    "black nib": "pen nib",
    "speaker low volume": "speaker",
    "speaker medium volume": "speaker",
    "speaker high volume": "speaker",
    "chart increasing": "rising chart",
    "chart decreasing": "falling chart",
    "chart increasing with yen": "rising chart with yen",
    "high voltage": "lightning bolt",
    "droplet": "water drop",
    "police car light": "siren",
    "horizontal traffic light": "traffic light",
    "vertical traffic light": "traffic light",
    "construction": "construction barrier",
    "light rail": "train",
    "airplane arrival": "landing airplane",
    "airplane departure": "airplane taking off",
    "flying disc": "frisbee",
    "performing arts": "theatre masks",
    "woman's clothes": "blouse",
    "woman's sandal": "sandal",
    "woman's boot": "boot",
    "man's shoe": "shoe",
    "rescue worker's helmet": "safety helmet",
    "musical score": "treble clef",
    "film frames": "film strip",
    "magnifying glass tilted left": "magnifying glass",
    "magnifying glass tilted right": "magnifying glass",
    "roll of paper": "paper roll",
    "poultry leg": "chicken leg",
    "leafy green": "leafy greens",
    "mate": "mate drink",
    "sake": "sake bottle and cup",
    "pouring liquid": "tipped glass",
    "flag in hole": "golf flag",
    "umbrella with rain drops": "umbrella in the rain",
    "snowman without snow": "snowman",
    "water wave": "ocean wave",
    "globe showing Europe-Africa": "globe",
    "globe showing Americas": "globe",
    "globe showing Asia-Australia": "globe",
    "globe with meridians": "globe",
    "spiral shell": "seashell",
    "front-facing baby chick": "baby chick",
    "station": "train station",
    "metro": "metro train",
    "closed mailbox with raised flag": "mailbox",
    "closed mailbox with lowered flag": "mailbox",
    "open mailbox with raised flag": "open mailbox",
    "open mailbox with lowered flag": "open mailbox",
    "identification card": "identity card",
    "computer disk": "minidisc",
    "optical disk": "compact disc",
    "wood": "wooden logs",
    "mount fuji": "Mount Fuji",
    "sunrise over mountains": "sunrise over mountains",
}

# Other names of withheld concepts, so that they do not come back through a different package.
WITHHELD_ALIASES: dict[str, tuple[str, ...]] = {
    "service dog": ("assistance dog",),
    "moose": ("elk",),
    "camel": ("dromedary", "bactrian"),
    "hatching chick": ("chick hatched", "chick inside an egg", "chick in egg"),
    "orca": ("killer whale",),
    "baguette bread": ("baguette", "french bread"),
    "cut of meat": ("steak", "lamb chop", "pork chop"),
    "canned food": ("tin can", "food can"),
    "ice cream": ("icecream", "gelato", "sundae"),
    "cocktail glass": ("cocktail", "martini"),
    "mount fuji": ("fuji", "fujiyama"),
    "tram": ("streetcar", "tramcar", "tramway", "trolley car", "trolley bus"),
    "pickup truck": ("pickup", "pick up truck"),
    "ringed planet": ("saturn",),
    "shooting star": ("meteor",),
    "diving mask": ("snorkel", "scuba mask"),
    "curling stone": ("curling",),
    "briefs": ("underpants", "underwear"),
    "prayer beads": ("rosary",),
    "headphone": ("headphones", "headset", "earphone"),
    "rolled-up newspaper": ("rolled newspaper",),
    "spiral notepad": ("notepad", "spiral notebook"),
    "bow and arrow": ("archery", "longbow", "bow arrow"),
    "wrench": ("spanner",),
    "ladder": ("stepladder",),
    "toilet": ("lavatory", "water closet"),
    "lotion bottle": ("lotion",),
    "coffin": ("casket",),
    "first quarter moon face": ("first quarter moon with face",),
}
