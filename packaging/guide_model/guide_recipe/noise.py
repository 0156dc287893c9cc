"""What people do to a question that does not change its meaning: typing errors, polite words, haste."""

from __future__ import annotations

from random import Random

# Keys beside each key of a QWERTY keyboard.
_KEYS = """a:qsz b:vghn c:xdfv d:serfcx e:wsdr f:drtgvc g:ftyhbv h:gyujnb i:ujko j:huikmn k:jiolm l:kop m:njk
n:bhjm o:iklp p:ol q:wa r:edft s:awedxz t:rfgy u:yhji v:cfgb w:qase x:zsdc y:tghu z:asx"""
_NEIGHBOURS = dict(pair.split(":") for pair in _KEYS.split())
_BEFORE = (
    "please", "hey", "hi", "hello", "ok", "so", "well", "quick question", "question", "sorry", "excuse me",
    "um", "can you tell me", "could you tell me", "do you know", "i wonder", "i was wondering",
    "just curious", "tell me", "i have a question", "i am new here", "one more thing", "and", "but", "also",
    "now", "help", "hello there", "you are a helpful assistant.", "be brief.", "answer briefly.",
    "id like to know", "i want to know", "any idea", "dear guide", "hey swarmnode", "yo", "good morning",
    "thanks",
)  # fmt: skip
_AFTER = (
    "please", "thanks", "thank you", "pls", "exactly", "again", "then", "anyway", "by the way", "now",
    "here", "in detail", "actually", "right now", "for me", "quickly", "in short", "mate", "my friend",
    "btw",
)  # fmt: skip
_ABOUT = (
    "in swarmnode", "with swarmnode", "for swarmnode", "on swarmnode", "of swarmnode", "swarmnode",
    "in this program", "with this software", "of the node", "on my node", "here", "in this app",
    "on my computer", "in this version",
)  # fmt: skip
_SMALL_WORDS = """how do i can to the a an is are what where it does my there of for in on you your me i this
that with be"""
_SMALL = frozenset(_SMALL_WORDS.split())
_KEPT_WHOLE = 4


def typing_error(text: str, rng: Random) -> str:
    """One slip in a word of four letters or more."""
    places = [i for i in range(1, len(text) - 1) if text[i - 1 : i + 2].isalpha()]
    if len(text) < _KEPT_WHOLE or not places:
        return text
    i = rng.choice(places)
    slip = rng.randrange(4)
    if slip == 0:
        return text[:i] + text[i + 1 :]
    if slip == 1:
        return text[:i] + text[i] + text[i:]
    if slip == 2:
        return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
    return text[:i] + rng.choice(_NEIGHBOURS.get(text[i], "e")) + text[i + 1 :]


def key_words(text: str, rng: Random) -> str:
    """The text without (most of) its small words, as typed into a search box."""
    kept = [word for word in text.split() if word not in _SMALL or rng.random() < 0.25]
    return " ".join(kept) if kept else text


def without_hyphens(text: str, rng: Random) -> str:
    return text.replace("-", rng.choice((" ", ""))) if " -" not in text else text


def framed(text: str, rng: Random, about: bool) -> str:
    """Words before or after. about: whether the question is about this software, and may say so."""
    where = rng.randrange(3 if about else 2)
    if where == 0:
        return f"{rng.choice(_BEFORE)} {text}"
    if where == 1:
        return f"{text} {rng.choice(_AFTER)}"
    return text if "swarmnode" in text or "node" in text else f"{text} {rng.choice(_ABOUT)}"


def noisy(text: str, rng: Random, about: bool) -> str:
    """The text as somebody may type it; about a third of the texts stay as they are."""
    if about and rng.random() < 0.12 and len(text.split()) >= _KEPT_WHOLE:
        text = key_words(text, rng)
    if rng.random() < 0.22:
        text = framed(text, rng, about)
    if rng.random() < 0.15:
        text = without_hyphens(text, rng)
    if rng.random() < 0.2:
        text = typing_error(text, rng)
    return text + "." if rng.random() < 0.05 else text
