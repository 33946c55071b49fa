"""What the documents of `records` are about: goods, dishes, events, plans and ways to pay."""

from __future__ import annotations

GOODS = (
    "Coffee", "Tea", "Milk", "Bread", "Butter", "Cheese", "Apples", "Bananas", "Orange juice",
    "Eggs", "Rice", "Pasta", "Tomatoes", "Onions", "Soap", "Batteries", "Notebook", "Pencils",
    "Umbrella", "Candles", "Water", "Chocolate", "Cookies", "Salad", "Soup", "Sandwich", "Muffin",
)  # fmt: skip
WORKS = (
    "Web design", "Printing", "Consulting", "Repair", "Delivery", "Desk lamp", "Office chair",
    "Cleaning", "Painting", "Training", "Software", "Paper", "Toner", "Monitor", "Cable",
    "Catering",
)  # fmt: skip
STARTERS = ("Tomato soup", "Green salad", "Garlic bread", "Onion rings", "Bruschetta", "Olives")
MAINS = (
    "Grilled salmon", "Beef stew", "Mushroom risotto", "Roast chicken", "Fish and chips",
    "Vegetable curry", "Lamb chops", "Margherita", "Spaghetti", "Cheeseburger",
)  # fmt: skip
SWEETS = ("Apple pie", "Ice cream", "Cheesecake", "Fruit salad", "Brownie", "Pancakes")
DRINKS = ("Lemonade", "Red wine", "Espresso", "Mint tea", "Mineral water", "Cider")
SHOPS = (
    "Market",
    "Store",
    "Foods",
    "Deli",
    "Corner Shop",
    "Books",
    "Pharmacy",
    "Hardware",
    "Bakery",
)
EVENTS = ("Jazz Night", "Science Fair", "Rock Festival", "Opera Gala", "Film Premiere",
"City Derby",
          "Book Reading", "Comedy Show", "Art Exhibition", "Spring Concert")  # fmt: skip
HALLS = ("Town Hall", "Grand Theatre", "City Arena", "Main Stage", "Museum", "River Stadium")
PLANS = (
    "Registration", "Welcome", "Coffee break", "Lunch", "Workshop", "Panel", "Team meeting",
    "Swimming", "Maths", "History", "Music", "Art class", "Site visit", "Dinner", "Yoga",
)  # fmt: skip
OPTIONS = (
    "Newsletter", "Parking", "Breakfast", "Member", "Student", "First visit", "Vegetarian",
    "Window seat", "Insurance", "Gift wrap", "Smoker", "Allergies",
)  # fmt: skip
PAYMENTS = ("CASH", "CARD", "VISA", "DEBIT", "Mastercard", "Gift card")
