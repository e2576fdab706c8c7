"""How a story of the chat domain feels and who is in it, as plain tables.

`{name}` and `{she}` stand for the person of a story.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Mood:
    """How a piece of writing should feel: one of `marks` must appear, none of `clashes` may."""

    marks: list[str]
    clashes: list[str]
    sentences: list[str]


# name, pronoun
PEOPLE = [
    ("Mia", "she"), ("Tom", "he"), ("Anna", "she"), ("Ben", "he"), ("Lily", "she"), ("Sam", "he"),
    ("Nora", "she"), ("Max", "he"),
]  # fmt: skip

MOODS = {
    "happy": Mood(
        marks=["happy", "smile", "smiles", "glad"],
        clashes=["sad", "lonely", "cries"],
        sentences=[
            "{name} smiles and feels happy.",
            "Everyone is glad to be here today.",
            "It is a happy day for {name}, and {she} sings a song.",
            "{name} is so happy that {she} wants to dance.",
            "{name} is glad and waves to everyone.",
            "What a happy day this is for {name}.",
        ],
    ),
    "calm": Mood(
        marks=["calm", "peace", "slowly"],
        clashes=["loud", "noisy", "hurry"],
        sentences=[
            "Everything is calm and still.",
            "{name} breathes slowly and listens.",
            "It is so calm that {name} can hear the wind.",
            "There is peace in the air, and nobody talks.",
            "{name} sits down and feels calm.",
            "Time goes by slowly, and {name} rests.",
        ],
    ),
    "sad": Mood(
        marks=["sad", "lonely", "cries"],
        clashes=["happy", "glad", "smiles"],
        sentences=[
            "{name} is sad and thinks of an old friend.",
            "{name} feels lonely and looks at the ground.",
            "It is a sad day for {name}, and {she} cries.",
            "Nobody talks to {name}, and {she} is sad.",
            "{name} is sad because a friend is far away.",
            "{name} hums a lonely song.",
        ],
    ),
    "funny": Mood(
        marks=["funny", "silly", "laugh", "laughs"],
        clashes=["sad", "lonely", "cries"],
        sentences=[
            "A silly goat takes {name}'s hat and runs away.",
            "{name} sneezes so hard that everyone laughs.",
            "A funny little duck follows {name} everywhere.",
            "{name} wears two different shoes and looks very silly.",
            "{name} tells a silly joke to a cow.",
            "{name} makes a funny face at a bird.",
        ],
    ),
}
