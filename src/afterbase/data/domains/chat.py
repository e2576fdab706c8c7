"""Chat: short writing, role-play and simple questions. No gold answer: a rubric judges, and people review drafts.

`draft_response` stands where the V3 report has DeepSeek-V2.5: a separate generator whose drafts are mostly good and
sometimes flawed, which is why they are reviewed before anything trains on them. The rubric in `spec` belongs to the
held-out judge (`afterbase.verify.rubric`); besides the rubric, `spec` names what the prompt was made of.
"""

import random
from typing import Any

from afterbase.core.sample import Problem
from afterbase.data.domains.chat_compose import good_sentences, hello, statement, story
from afterbase.data.domains.chat_facts import FACTS
from afterbase.data.domains.chat_flaws import PLANT, possible_flaws
from afterbase.data.domains.chat_moods import MOODS
from afterbase.data.domains.chat_personas import ACTS, GUESTS, PERSONAS
from afterbase.data.domains.chat_places import PLACES

NAME = "chat"

_NUMBERS = {2: "two", 3: "three", 4: "four"}
_WRITING_REQUESTS = [
    "Write {number} {mood}sentences about {topic}.",
    "Describe {topic} in {number} {mood}sentences.",
    "Tell a {mood}story about {topic} in {number} sentences.",
]
_ROLEPLAY_REQUESTS = [
    "You are a {persona}. {request}",
    "Speak like a {persona}. {request}",
    "Play a {persona}. {request}",
]
_QUESTION_REQUESTS = {  # request: how many sentences it allows
    "{question}": [1, 3],
    "{question} Please explain a little.": [2, 3],
    "{question} Answer in one sentence.": [1, 1],
    "{question} Answer in two sentences.": [2, 2],
}
_WORDS_A_SENTENCE = (3, 16)
_ROLEPLAY_WORDS = [8, 45]
_FLAWED_SHARE = 0.3


def problem(rng: random.Random) -> Problem:
    """One random prompt: writing (4 in 10), role-play (4 in 10) or a question."""
    kind = rng.choices(["writing", "roleplay", "question"], weights=[4, 4, 2])[0]
    return {"writing": _writing_problem, "roleplay": _roleplay_problem, "question": _question_problem}[kind](rng)


def identity(problem: Problem) -> str:
    """The prompt."""
    return problem.prompt


def draft_response(problem: Problem, rng: random.Random) -> str:
    """What the separate generator writes: mostly good, three times in ten flawed."""
    if rng.random() < _FLAWED_SHARE:
        return flawed_response(problem, rng)[0]
    return good_response(problem, rng)


def good_response(problem: Problem, rng: random.Random) -> str:
    """A short answer that meets the rubric."""
    return " ".join(good_sentences(problem.spec, rng))


def flawed_response(problem: Problem, rng: random.Random) -> tuple[str, str]:
    """An answer with one flaw planted, and the flaw's name."""
    flaw = rng.choice(possible_flaws(problem.spec))
    return PLANT[flaw](problem.spec, rng), str(flaw)


def pretraining_text(rng: random.Random) -> str:
    """Raw fragments: a short story, what a character says, or a few facts."""
    kind = rng.randrange(3)
    if kind == 0:
        place, mood = rng.choice(PLACES), rng.choice([None, *MOODS])
        return " ".join(story(place, mood, rng.randint(3, 4), rng))
    if kind == 1:
        name, persona = rng.choice(list(PERSONAS.items()))
        act = rng.choice(ACTS)
        lines = rng.sample(persona.lines, 2)
        lines.insert(rng.randint(0, 2), rng.choice(act.replies).format(thing=rng.choice(act.things)))
        if act.begins_with_hello:
            lines.insert(0, hello(persona, rng.choice(GUESTS), rng))
        return f'The {name} says: "{" ".join(lines)}"'
    return " ".join(
        sentence for fact in rng.sample(FACTS, 3) for sentence in (statement(fact, fact.answer, rng), *fact.more)
    )


def _writing_problem(rng: random.Random) -> Problem:
    place, mood, number = rng.choice(PLACES), rng.choice([None, *MOODS]), rng.choice(list(_NUMBERS))
    request = rng.choice(_WRITING_REQUESTS)
    low, high = _WORDS_A_SENTENCE
    return _problem(
        request.format(number=_NUMBERS[number], mood=f"{mood} " if mood else "", topic=place.topic),
        kind="writing",
        sentences=[number, number],
        words=[low * number, high * number],
        must_mention=[*place.mentions, *([MOODS[mood].marks] if mood else [])],
        must_not=MOODS[mood].clashes if mood else [],
        about={"topic": place.topic, "mood": mood},
    )


def _roleplay_problem(rng: random.Random) -> Problem:
    persona, guest, index = rng.choice(list(PERSONAS)), rng.choice(GUESTS), rng.randrange(len(ACTS))
    act = ACTS[index]
    thing = rng.choice(act.things)
    return _problem(
        rng.choice(_ROLEPLAY_REQUESTS).format(persona=persona, request=act.request.format(guest=guest, thing=thing)),
        kind="roleplay",
        sentences=[2, 4],
        words=_ROLEPLAY_WORDS,
        must_mention=[[word.format(thing=thing) for word in group] for group in act.mentions],
        persona_marks=PERSONAS[persona].marks,
        must_not=["language model", "assistant"],
        about={"persona": persona, "guest": guest, "act": index, "thing": thing},
    )


def _question_problem(rng: random.Random) -> Problem:
    index = rng.randrange(len(FACTS))
    fact = FACTS[index]
    request, sentences = rng.choice(list(_QUESTION_REQUESTS.items()))
    low, high = _WORDS_A_SENTENCE
    return _problem(
        request.format(question=fact.question),
        kind="question",
        sentences=sentences,
        words=[low * sentences[0], high * sentences[1]],
        must_mention=[[fact.answer]],
        must_not=fact.wrong,
        about={"fact": index},
    )


def _problem(
    prompt: str,
    *,
    kind: str,
    sentences: list[int],
    words: list[int],
    must_mention: list[list[str]],
    must_not: list[str],
    about: dict[str, Any],
    persona_marks: list[str] | None = None,
) -> Problem:
    rubric = {
        "kind": kind,
        "sentences": list(sentences),
        "words": list(words),
        "must_mention": must_mention,
        "persona_marks": list(persona_marks or []),
        "must_not": list(must_not),
    }
    return Problem(domain=NAME, prompt=prompt, gold=None, verifier="rubric", spec={**rubric, "about": about})
