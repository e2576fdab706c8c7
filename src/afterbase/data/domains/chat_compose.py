"""How a good chat answer is put together, sentence by sentence, from what its prompt is about."""

import random
from typing import Any

from afterbase.data.domains.chat_facts import FACTS, Fact
from afterbase.data.domains.chat_moods import MOODS, PEOPLE
from afterbase.data.domains.chat_personas import ACTS, PERSONAS, Persona
from afterbase.data.domains.chat_places import PLACES, Place

_STATEMENT_FRAMES = ["{}", "{}", "Most people know that {}", "Every child knows that {}", "It is well known that {}"]


def good_sentences(spec: dict[str, Any], rng: random.Random) -> list[str]:
    """The sentences of an answer that meets the rubric `spec`."""
    about = spec["about"]
    if spec["kind"] == "writing":
        return story(place_of(about["topic"]), about["mood"], spec["sentences"][0], rng)
    if spec["kind"] == "roleplay":
        return _speech(about, PERSONAS[about["persona"]], rng)
    fact = FACTS[about["fact"]]
    more = rng.sample(fact.more, rng.randint(*spec["sentences"]) - 1)
    return [statement(fact, fact.answer, rng), *more]


def story(place: Place, mood: str | None, number: int, rng: random.Random) -> list[str]:
    """A scene, then what happens, then the mood or an ending (four sentences have room for both)."""
    name, she = rng.choice(PEOPLE)
    events = rng.sample(place.events, 2)
    feeling = [rng.choice(MOODS[mood].sentences)] if mood else []
    if number == 2:
        rest = feeling or events[:1]
    elif number == 3:
        rest = [events[0], *(feeling or [rng.choice(place.ends)])]
    else:
        rest = [events[0], *(feeling or events[1:]), rng.choice(place.ends)]
    return [sentence.format(name=name, she=she) for sentence in [rng.choice(place.scenes), *rest]]


def hello(persona: Persona, guest: str, rng: random.Random) -> str:
    """How a character greets."""
    return rng.choice(persona.hellos).format(guest=guest)


def reply(about: dict[str, Any], rng: random.Random) -> str:
    """The sentence that does what was asked for."""
    return rng.choice(ACTS[about["act"]].replies).format(thing=about["thing"])


def statement(fact: Fact, answer: str, rng: random.Random) -> str:
    """The fact as a sentence, with this answer in it."""
    sentence = rng.choice(_STATEMENT_FRAMES).format(fact.statement.format(answer)) + "."
    return sentence[0].upper() + sentence[1:]


def place_of(topic: str) -> Place:
    """The place with this topic."""
    return next(place for place in PLACES if place.topic == topic)


def _speech(about: dict[str, Any], persona: Persona, rng: random.Random) -> list[str]:
    """A hello, what was asked for, and often a line about the character; a goodbye has no hello."""
    asked = reply(about, rng)
    lines = rng.sample(persona.lines, 2)
    if not ACTS[about["act"]].begins_with_hello:
        return [*lines[: rng.randint(1, 2)], asked]
    return [hello(persona, about["guest"], rng), asked, *lines[: rng.choice([0, 1, 1, 1])]]
