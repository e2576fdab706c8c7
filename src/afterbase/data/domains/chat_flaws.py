"""What can be wrong with a chat draft: flaws planted on purpose, each in an otherwise good answer."""

import random
from enum import StrEnum
from typing import Any

from afterbase.data.domains.chat_compose import good_sentences, hello, reply, statement
from afterbase.data.domains.chat_facts import FACTS
from afterbase.data.domains.chat_personas import ACTS, PERSONAS
from afterbase.data.domains.chat_places import PLACES

_RAMBLING = [
    "and then there is more to say", "and I could go on for a long time", "and nobody knows why it is so",
    "and that was only the first part", "and after that it gets even better", "and so it was and so it will be",
    "and you can ask anyone in the town", "and I want to tell you everything again", "and the rest is a long story",
    "and it does not end here at all",
]  # fmt: skip
_SLIPS = [
    (" the ", " the the "), (" is ", " are "), (" a ", " an "), (" to ", " too "), (" in ", " in in "),
]  # fmt: skip


class Flaw(StrEnum):
    """What can be wrong with a draft. The rubric sees all but the last two, which only a reader does."""

    OFF_TOPIC = "off_topic"
    OUT_OF_PERSONA = "out_of_persona"
    WRONG_FACT = "wrong_fact"
    REPEATS = "repeats"
    SENTENCE_COUNT = "sentence_count"
    CUT_OFF = "cut_off"
    TOO_LONG = "too_long"
    CLASH = "clash"
    SLIP = "slip"


def possible_flaws(spec: dict[str, Any]) -> list[Flaw]:
    """The flaws that an answer to this prompt can have."""
    flaws = [Flaw.OFF_TOPIC, Flaw.REPEATS, Flaw.CUT_OFF, Flaw.TOO_LONG, Flaw.SLIP]
    low, high = spec["sentences"]
    if low == high:
        flaws.append(Flaw.SENTENCE_COUNT)
    if spec["kind"] == "roleplay":
        flaws.append(Flaw.OUT_OF_PERSONA)
    if spec["kind"] == "question":
        flaws.append(Flaw.WRONG_FACT)
    # An odd sentence needs a place where the rubric does not look.
    if high > 2:
        flaws.append(Flaw.CLASH)
    return flaws


def _off_topic(spec: dict[str, Any], rng: random.Random) -> str:
    """A good answer to another prompt of the same kind."""
    about = spec["about"]
    if spec["kind"] == "writing":
        other = rng.choice([place.topic for place in PLACES if place.topic != about["topic"]])
        changed = {**about, "topic": other}
    elif spec["kind"] == "roleplay":
        act = rng.choice([index for index in range(len(ACTS)) if index != about["act"]])
        changed = {**about, "act": act, "thing": rng.choice(ACTS[act].things)}
    else:
        right = FACTS[about["fact"]].answer
        others = [i for i, fact in enumerate(FACTS) if right not in " ".join([fact.statement, fact.answer, *fact.more])]
        changed = {"fact": rng.choice(others)}
    return " ".join(good_sentences({**spec, "about": changed}, rng))


def _out_of_persona(spec: dict[str, Any], rng: random.Random) -> str:
    """The right deed in no voice at all, or in the wrong one."""
    guest, asked = spec["about"]["guest"], reply(spec["about"], rng)
    if rng.random() < 0.5:
        other = rng.choice([name for name in PERSONAS if name != spec["about"]["persona"]])
        return f"{hello(PERSONAS[other], guest, rng)} {asked}"
    opening = rng.choice(["Hello, {guest}.", "I am a language model, {guest}.", "Good day, {guest}."])
    return f"{opening.format(guest=guest)} {asked} {rng.choice(['Have a nice day.', 'That is all.'])}"


def _wrong_fact(spec: dict[str, Any], rng: random.Random) -> str:
    fact = FACTS[spec["about"]["fact"]]
    more = good_sentences(spec, rng)[1:]
    return " ".join([statement(fact, rng.choice(fact.wrong), rng), *more])


def _repeats(spec: dict[str, Any], rng: random.Random) -> str:
    """The last sentence over again, or its last words in a loop."""
    sentences = good_sentences(spec, rng)
    if rng.random() < 0.5:
        return " ".join([*sentences, sentences[-1]])
    *head, last = sentences
    words = last.rstrip(".!?").split()
    return " ".join([*head, *words, *words[-2:] * rng.randint(2, 4)]) + "."


def _sentence_count(spec: dict[str, Any], rng: random.Random) -> str:
    """One sentence too few where there is one to spare, or one too many."""
    sentences = good_sentences(spec, rng)
    if len(sentences) > 2 and rng.random() < 0.5:
        return " ".join(sentences[:-1])
    return " ".join([*sentences, rng.choice(["That is all.", "It is a nice thing to know.", "I like it very much."])])


def _cut_off(spec: dict[str, Any], rng: random.Random) -> str:
    *head, last = good_sentences(spec, rng)
    words = last.rstrip(".!?").split()
    return " ".join([*head, *words[: rng.randint(1, len(words) - 1)]]).rstrip(",.!?")


def _too_long(spec: dict[str, Any], rng: random.Random) -> str:
    """The last sentence goes on and on."""
    text = " ".join(good_sentences(spec, rng)).rstrip(".!?")
    for clause in rng.sample(_RAMBLING, len(_RAMBLING)):
        text += f", {clause}"
        if len(text.split()) > spec["words"][1]:
            break
    return f"{text}."


def _clash(spec: dict[str, Any], rng: random.Random) -> str:
    """One sentence that belongs to another place, character or fact."""
    about, sentences = spec["about"], good_sentences(spec, rng)
    if spec["kind"] == "writing":
        other = rng.choice([place for place in PLACES if place.topic != about["topic"]])
        sentences[1] = rng.choice(other.scenes)
    elif spec["kind"] == "roleplay":
        other = rng.choice([persona for name, persona in PERSONAS.items() if name != about["persona"]])
        sentences.append(rng.choice(other.lines))
    else:
        right = FACTS[about["fact"]]
        odd = rng.choice([sentence for fact in FACTS if fact != right for sentence in fact.more])
        sentences = [sentences[0], odd]
    return " ".join(sentences)


def _slip(spec: dict[str, Any], rng: random.Random) -> str:
    """A small mistake of grammar or spelling, such as a reader mends in passing."""
    text = " ".join(good_sentences(spec, rng))
    wrong = [(right, slip) for right, slip in _SLIPS if right in text]
    if not wrong:
        return text[0].lower() + text[1:]
    right, slip = rng.choice(wrong)
    return text.replace(right, slip, 1)


PLANT = {
    Flaw.OFF_TOPIC: _off_topic,
    Flaw.OUT_OF_PERSONA: _out_of_persona,
    Flaw.WRONG_FACT: _wrong_fact,
    Flaw.REPEATS: _repeats,
    Flaw.SENTENCE_COUNT: _sentence_count,
    Flaw.CUT_OFF: _cut_off,
    Flaw.TOO_LONG: _too_long,
    Flaw.CLASH: _clash,
    Flaw.SLIP: _slip,
}
