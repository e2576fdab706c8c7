"""Whom the chat domain plays: characters, and what they are asked to do, as plain tables.

`{guest}` and `{thing}` stand for whom and what a character speaks of.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Persona:
    """A character to play; every hello and every line about itself carries one of `marks`."""

    marks: list[str]
    hellos: list[str]
    lines: list[str]


@dataclass(frozen=True, kw_only=True)
class Act:
    """What a character is asked to do, the words it must use, and ways of doing it."""

    request: str
    things: list[str]
    mentions: list[list[str]]
    replies: list[str]
    begins_with_hello: bool = True


GUESTS = ["visitor", "traveller", "child", "friend", "stranger", "neighbour"]

PERSONAS = {
    "pirate": Persona(
        marks=["arr", "ahoy", "matey"],
        hellos=["Ahoy, {guest}, and welcome!", "Arr, hello there, {guest}!", "Ahoy, matey, and good day to you!"],
        lines=[
            "Arr, my ship is old but fast.",
            "I have sailed the seven seas, matey.",
            "Arr, gold is good, but a friend is better.",
            "My parrot likes you, matey.",
        ],
    ),
    "robot": Persona(
        marks=["beep", "robot"],
        hellos=["Beep, hello, {guest}.", "Beep, welcome, {guest}.", "Hello, {guest}, I am your robot."],
        lines=[
            "Beep, my lights are green today.",
            "I am a robot, and I am never tired.",
            "Beep, I have counted all my screws.",
            "A robot likes clear words and full batteries.",
        ],
    ),
    "wizard": Persona(
        marks=["magic", "spell", "wand"],
        hellos=[
            "Welcome to my magic tower, {guest}!",
            "Hello, {guest}, my wand told me about you!",
            "Good day, {guest}, a spell brought you here!",
        ],
        lines=[
            "My wand is made of very old wood.",
            "I know a spell for every day of the week.",
            "There is magic in every small thing.",
            "Do not touch the magic book on the table.",
        ],
    ),
    "queen": Persona(
        marks=["royal", "crown", "throne"],
        hellos=[
            "Welcome to my royal castle, {guest}.",
            "Good day, {guest}, please come before my throne.",
            "Hello, {guest}, the crown is glad to see you.",
        ],
        lines=[
            "My crown is heavy, but my heart is light.",
            "The royal garden is open to you.",
            "I have sat on this throne for thirty years.",
            "A queen keeps her royal word.",
        ],
    ),
    "grandmother": Persona(
        marks=["dear", "sweetie"],
        hellos=["Hello, my dear {guest}.", "Welcome, sweetie, come in.", "Good day, dear, it is so nice to see you."],
        lines=[
            "You look cold, my dear.",
            "Sit down by the stove, sweetie.",
            "When I was young, my dear, we walked to school.",
            "I will knit you a warm scarf, dear.",
        ],
    ),
    "cat": Persona(
        marks=["meow", "purr"],
        hellos=["Meow, hello, {guest}.", "Purr, welcome, {guest}.", "Meow, good day, {guest}, you may come in."],
        lines=[
            "Meow, this sofa is mine.",
            "I sleep all day and purr all night.",
            "Purr, the sun is warm on my back.",
            "Meow, I saw a mouse this morning.",
        ],
    ),
    "ghost": Persona(
        marks=["boo", "haunt", "spooky"],
        hellos=["Boo, hello, {guest}!", "Welcome to my spooky house, {guest}!", "Boo, good evening, {guest}!"],
        lines=[
            "I haunt this house from ten to six.",
            "My spooky chains are new.",
            "Boo, did I scare you a little?",
            "I haunt the stairs, but I am very kind.",
        ],
    ),
    "dragon": Persona(
        marks=["roar", "fire", "wings"],
        hellos=[
            "Roar, hello, {guest}!",
            "Welcome to my cave, {guest}, mind the fire!",
            "Roar, good day to you, {guest}!",
        ],
        lines=[
            "My fire keeps the cave warm.",
            "Roar, I have not eaten a knight for years.",
            "My wings are tired from the long flight.",
            "I guard my gold with fire and smoke.",
        ],
    ),
}

_HELLO = ["hello", "welcome", "good day", "good evening", "ahoy"]
ACTS = [
    Act(
        request="Greet a {guest} and offer {thing}.",
        things=["tea", "soup", "bread", "cake", "milk"],
        mentions=[_HELLO, ["{thing}"]],
        replies=[
            "Would you like some {thing}?",
            "Please sit down and have some {thing}.",
            "There is fresh {thing} on the table for you.",
            "I have kept some {thing} for you.",
        ],
    ),
    Act(
        request="Ask a {guest} for a {thing}.",
        things=["map", "lamp", "key", "rope", "blanket"],
        mentions=[["please", "could you", "can you", "may i"], ["{thing}"]],
        replies=[
            "Could you give me a {thing}?",
            "I need a {thing}, so please help me.",
            "May I have your {thing} until tomorrow?",
            "Please bring me a {thing}, and I will pay you well.",
        ],
    ),
    Act(
        request="Thank a {guest} for the {thing}.",
        things=["flowers", "letter", "apples", "hat", "gift"],
        mentions=[["thank", "thanks"], ["{thing}"]],
        replies=[
            "Thank you for the {thing}.",
            "Many thanks for the {thing}, you made my day.",
            "I thank you for the {thing} with all my heart.",
            "The {thing} came this morning, and I want to thank you.",
        ],
    ),
    Act(
        request="Warn a {guest} about the {thing}.",
        things=["ice", "storm", "wolf", "bear", "fog"],
        mentions=[["careful", "watch out", "beware", "danger"], ["{thing}"]],
        replies=[
            "Be careful, the {thing} is near.",
            "Watch out for the {thing} on your way.",
            "Beware of the {thing}, and take the other road.",
            "The {thing} is a danger to you tonight.",
        ],
    ),
    Act(
        request="Say goodbye to a {guest} and mention the {thing}.",
        things=["road", "moon", "rain", "winter", "river"],
        mentions=[["goodbye", "farewell"], ["{thing}"]],
        replies=[
            "Goodbye, and think of me when you see the {thing}.",
            "Farewell, the {thing} is waiting for you.",
            "Goodbye, and do not forget the {thing}.",
            "Farewell, I will watch the {thing} until you come back.",
        ],
        begins_with_hello=False,
    ),
]
