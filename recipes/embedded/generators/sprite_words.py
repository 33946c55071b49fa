"""Word lists about drawn things, made by looking at the pack: data only, each with what it is for.

Labels name a picture well enough to say what it is; counting, comparing and denying need more: one
thing per drawing, a name with a plural, and no second name that would be just as true.
"""

from __future__ import annotations


def _phrases(text: str) -> frozenset[str]:
    """The phrases of a text, separated by commas."""
    return frozenset(" ".join(part.split()) for part in text.split(",") if part.strip())


# Emoji categories that are scenes, symbols, sports or places rather than things to be counted.
UNCOUNTED_CATEGORIES = frozenset(
    {"event", "place-geographic", "place-map", "place-other", "food-asian", "medical", "hotel"}
)

# Labels that say something else than what is drawn.
MISNAMED = _phrases("smoke, confect, tux, mine, thongs, ink, internet")

# Drawings whose label names only a part of what is drawn.
MISDRAWN = frozenset(
    {
        "openclipart/recreation/holiday/valentines/heart-ballons_benji_park_01",
    }
)

# Names that take no article in English: masses, sports, planets; and those that take "the".
BARE = _phrases(
    """
    ice hockey, field hockey, lacrosse, badminton, bowling, ping pong, tennis, confetti, fog, foggy,
    bacon, bread, butter, garlic, popcorn, salt, cooked rice, curry rice, spaghetti, sushi, honey,
    milk, lemonade, coffee, beer, ice, soap, corn, pasta, soup, salami, paprika, cheese, bamboo,
    thread, yarn, camping, jupiter, mars, venus, neptune, uranus, dna, bread and wine, garlic toast,
    spaghetti and sauce, ice water, Tokyo tower, fire, cannabis leaf, knitting, oden, dango
    """
)
WITH_THE = _phrases(
    "Earth, Sun, sun, moon, milky way, Statue of Liberty, Eiffel tower, eiffel tower, kaaba"
)

# Not one plain countable thing, or a drawing that differs between artists.
UNCOUNTED = _phrases(
    """
    Christmas hat, Earth, Sun, tux, baby sheep, black cat, bloom, blossom, cherry blossom, wing,
    feather, microbe, spider web, coral, pig nose, guide dog, dodo, knot, thread, yarn, framed
    picture, label, newspaper, scroll, curled page, gem stone, graduation cap, hair pick, folding
    hand fan, military helmet, safety helmet, low battery, compact disc, dvd, minidisc, trackball,
    amphora, ice, hot drink, mate drink, tropical drink, beverage box, tumbler glass, tipped
    glass, bubble tea, teacup without handle, bacon, bread, butter, fondue, flatbread, stuffed
    flatbread, green salad, popcorn, salt, custard, shaved ice, shortcake, garlic, ginger root,
    club suit, diamond suit, heart suit, spade suit, joker card, flower playing cards, crystal
    ball, mirror ball, game die, mahjong tile, piñata, puzzle piece, slot machine, video game,
    mouse trap, shower, soap, sponge, elevator, mirror, couch and lamp, film strip, clapper board,
    inbox tray, outbox tray, incoming envelope, email envelope, ballot box with ballot, credit
    card, dollar banknote, euro banknote, pound banknote, yen banknote, receipt, musical keyboard,
    level slider, bar chart, falling chart, rising chart, card file box, card index, clipboard,
    file folder, open file folder, hamsa, funeral urn, headstone, identity card, moai, nazar
    amulet, placard, pager, bank, brick, building construction, classical building, convenience
    store, department store, derelict house, hospital, hotel, house with garden, love hotel,
    office building, post office, rock, school, stadium, wedding, factory, Japanese post office,
    Statue of Liberty, Tokyo tower, kaaba, shinto shrine, hindu temple, mosque, empty nest, herb,
    rosette, fallen leaf, four leaf clover, shamrock, wilted flower, deciduous tree, leafless
    tree, alembic, petri dish, dna, cyclone, comet, fire, fog, full moon, new moon, crescent moon,
    first quarter moon, last quarter moon, full moon face, new moon face, last quarter moon face,
    lightning bolt, milky way, ocean wave, sun with face, wind face, tornado, star, glowing star,
    sun, moon, waning crescent moon, waxing crescent moon, waning gibbous moon, waxing gibbous
    moon, closed umbrella, snowflake, water drop, postal horn, muted speaker, loudspeaker,
    badminton, bowling, cricket game, field hockey, ice hockey, lacrosse, martial arts uniform,
    ping pong, tennis, goal net, golf flag, running shirt, boxing glove, cricket, sled, ice skate,
    fishing pole, hook, link, gear, balance scale, white cane, shield, clamp, landing airplane,
    airplane taking off, mountain cableway, seat, suspension railway, small airplane, bus stop,
    construction barrier, fuel pump, motorway, oil drum, railway track, siren, stop sign, traffic
    light, train station, wheel, mountain railway, monorail, metro train, railway car, articulated
    lorry, auto rickshaw, ring buoy, timer clock, hourglass done, hourglass not done, mantelpiece
    clock, pen nib, triangular ruler, straight ruler, tear-off calendar, spiral calendar,
    calendar, pushpin, round pushpin, paperclip, linked paperclips, open mailbox, Christmas tree,
    T-Rex, sauropod, trumpet straight mute, floor tom drum, herald trumpet, paratrooper, fireman,
    flying saucer, high-speed train, bullet train, spouting whale, oyster, treble clef, musical
    note, money bag, treasure chest, rooster, fried shrimp, bowl with spoon, honey pot, pot of
    food, pan of food, roast turkey, turkey, trolleybus, minibus, flat shoe, thong sandal,
    one-piece swimsuit, bikini, sheaf of rice, root vegetable, moon cake, water buffalo, mammoth,
    phoenix, dragon, meat on bone, bird, black bird, bug, beetle, plunger, lipstick, military
    medal, sports medal, bookmark, ledger, closed book, blue book, green book, orange book,
    notebook, cardboard box, bellhop bell, luggage, mouse, computer mouse, egg, fried egg, melon,
    rice ball, electric plug, keyboard, studio microphone, radio, video camera, movie camera, film
    projector, telephone receiver, fax machine, ox, ewe, ram, wolf head, tangerine, kiwi fruit,
    lime, coconut, olive, nesting dolls, teddy bear, water pistol, basket, razor, window, door,
    bathtub, paper roll, safety pin, padlock, old key, postbox, coin, abacus, printer, desktop
    computer, floppy disk, chestnut, avocado, smoke, milk, lemonade, coffee, corn, knitting,
    jupiter, firewall, flan, flat cake, graveyard, garlic toast, grave marker, gravestone,
    tombstone, stable, workstation, reed, bamboo, lasagna, mortar, prune, beer, cheese, pin,
    lightbulb, bulb, orange wedge, cog, drum kit, diya lamp, t shirt, broken chain, sledge, yellow
    lemon, apple core, volley ball, chess pawn, warehouse, palette, paint brush, round tower, pop
    can, plate, open padlock, folder, video cassette, chemistry flask, chicken burger, breakfast
    sausage, drill, ring, gate, turban, scalpel, clothespin, sewing needle, videocassette, bell
    pepper, hot pepper, pea pod, burrito, tamale, falafel, waffle, pie, candy, kimono, sari,
    blouse, dress, necktie, scarf, safety vest, t-shirt
    """
) - _phrases("turkey, rooster, mouse, dragon, star, sun, egg, coin, padlock, dress, pie, clipboard")

# Where two names could be said of one drawing, or of two that look alike, neither may deny the
# other. Groups end with a semicolon.
_ALIKE = """
    duck, goose, swan, bird, dove, parrot, owl chick, pigeon, gull, seagull, drake;
    chicken, rooster, hen, baby chick, turkey, bird;
    crow, bird, black bird, blackbird, magpie;
    cow, ox, bull, water buffalo, bison, yak;
    sheep, ewe, ram, goat, llama;
    leopard, cheetah;
    rat, mouse, hamster, chipmunk, squirrel;
    dog, poodle, guide dog, bulldog puppy;
    rabbit, bunny;
    whale, spouting whale, dolphin;
    shark, fish;
    fish, tropical fish, blowfish, clownfish, butterflyfish;
    crocodile, lizard, iguana, dinosaur;
    bee, honeybee, hornet, fly, bug, beetle, ladybug, cockroach, cricket, mosquito;
    gorilla, monkey, orangutan, chimpanzee, baboon;
    horse, donkey, pony;
    horse, unicorn;
    bear, polar bear, teddy bear;
    bear, panda;
    deer, reindeer, doe, fawn, caribou, gnu;
    seal, sea lion, otter, beaver;
    train, locomotive, steam locomotive, bullet train, railway car;
    ship, boat, ferry, passenger ship, motor boat, speedboat, sailboat, sail boat, canoe;
    car, automobile, taxi, police car, sport utility vehicle, racing car, race car, sports
      car, minibus, ambulance;
    truck, delivery truck, fire engine, fire truck, dump truck, tanker, ambulance, tractor,
      bulldozer;
    bus, trolleybus, minibus, train;
    bicycle, bike, motorcycle, motor scooter, kick scooter, scooter;
    airplane, plane, aircraft, small airplane, rocket, helicopter;
    house, hut, church, castle, building, lighthouse, tower;
    rose, tulip, hibiscus, lotus, sunflower, hyacinth, white flower, flower, daisy, daffodil,
      bouquet, red flower, tulips;
    evergreen tree, christmas tree, palm tree, tree, potted plant, seedling, plant, cactus;
    mushroom, brown mushroom, toadstool;
    apple, red apple, green apple, tomato, peach, cherry, orange, mandarin orange, apricot,
      mango;
    lemon, lime, pear, yellow lemon, mango, potato;
    cookie, doughnut, bagel, pretzel, pancake;
    cake, birthday cake, cupcake, muffin, pie, pumpkin pie;
    sandwich, hamburger, burger, hot dog, taco;
    wine glass, glass, glass of milk, beer mug, cup, teacup, mug, cup with straw, milk;
    shoe, running shoe, hiking boot, boot, high-heeled shoe, ballet shoes, sandal;
    hat, top hat, cap, billed cap, woman's hat, cowboy hat, party hat, brown hat, sombrero,
      baseball cap;
    handbag, purse, clutch bag, backpack, briefcase;
    glasses, goggles, sunglasses;
    clock, alarm clock, watch, stopwatch;
    camera, camera with flash, digital camera, movie camera;
    laptop, computer, television, desktop computer;
    mobile phone, telephone, phone, calculator;
    knife, kitchen knife, dagger, sword;
    hammer, axe, pick, shovel, mallet;
    guitar, banjo, violin, acoustic guitar, electric guitar, cello, classical guitar;
    trumpet, saxophone, french horn;
    drum, long drum, african drum, drum kit;
    pen, pencil, fountain pen, crayon, paintbrush, screwdriver;
    ball, baseball, basketball, soccer ball, volleyball, softball, tennis ball, beach ball,
      volley ball, bullseye, football;
    american football, rugby football, football;
    book, diary, notebook;
    envelope, letter, mailbox;
    key, lock, padlock;
    bucket, wastebasket, basket;
    bronze medal, gold medal, silver medal;
    speaker, microphone, radio, megaphone;
    potato, yam, roasted sweet potato;
    bed, chair, couch;
    magnifying glass, telescope;
    mailbox, postbox;
    corn, ear of corn
"""
LOOKALIKES: tuple[frozenset[str], ...] = tuple(map(_phrases, _ALIKE.split(";")))

# Emoji categories of the question "animal, plant, food, ... ?"; the names beneath do not belong.
KINDS: dict[str, str] = {
    "animal-amphibian": "animal",
    "animal-bird": "animal",
    "animal-bug": "animal",
    "animal-mammal": "animal",
    "animal-marine": "animal",
    "animal-reptile": "animal",
    "plant-flower": "plant",
    "plant-other": "plant",
    "food-fruit": "food",
    "food-prepared": "food",
    "food-sweet": "food",
    "food-vegetable": "food",
    "food-asian": "food",
    "drink": "drink",
    "transport-ground": "vehicle",
    "transport-air": "vehicle",
    "transport-water": "vehicle",
    "place-building": "building",
    "place-religious": "building",
    "clothing": "piece of clothing",
    "musical-instrument": "musical instrument",
    "tool": "tool",
}
NOT_OF_KIND = _phrases(
    """
    feather, wing, microbe, spider web, paw prints, pig nose, coral, seashell, phoenix, dragon,
    dragon face, unicorn, empty nest, nest with eggs, rosette, fallen leaf, leaf fluttering in
    wind, mushroom, sheaf of rice, herb, bouquet, bowl with spoon, pot of food, takeout box, bento
    box, honey pot, salt, baby bottle, bottle with popping cork, sake bottle and cup, teacup
    without handle, teapot, wine glass, tumbler glass, tipped glass, clinking glasses, ice, cup
    with straw, bus stop, construction barrier, fuel pump, motorway, oil drum, railway track,
    siren, stop sign, traffic light, train station, wheel, roller skate, manual wheelchair,
    motorized wheelchair, skateboard, seat, parachute, anchor, ring buoy, mountain cableway,
    brick, building construction, rock, wedding, wooden logs, houses, Statue of Liberty, kaaba,
    shinto shrine, backpack, gem stone, clutch bag, handbag, purse, shopping bags, folding hand
    fan, hair pick, lipstick, crown, ring, glasses, sunglasses, goggles, bomb, boomerang, broken
    chain, chains, link, balance scale, crossed swords, dagger, magnet, shield, white cane,
    toolbox, gear, hook, bow, nut and bolt, luggage, military helmet, safety helmet, beverage box,
    stadium, safety vest
    """
)

# Tux Paint folders whose pictures are photographs cut out of their background, and the pictures in
# them that are not.
PHOTO_FOLDERS = (
    "animals/amphibians",
    "animals/birds",
    "animals/lizards",
    "animals/mammals",
    "animals/marsupials",
    "food/fruit",
    "food/nuts",
    "food/vegetables",
    "hobbies/music",
    "plants/flowers",
    "plants/mushrooms",
)
NOT_PHOTOS = _phrases(
    """
    echidna, hedgehog, whale, edward_bear, apple_red, apple_green, pear, Cherry_Stella, apricot,
    Apricot_whole, sliced_lime, strawberry, kiwi, chilepepper, cymbal_crash, guitar2, violin2,
    lemon, mandarine, orange
    """
)
