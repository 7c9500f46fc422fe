"""Classes of words that make up a style of captions: colours, places, sentiments (xl_vlms.md 2.10, 5, 6.3).

The released lists are known by the words they hold. Places hold 53 entries, of which 48 differ; positive and negative
sentiments (53 and 52 words) are not known and come from files. What the drawn world says has classes of its own.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from vlmscope.errors import VlmscopeError
from vlmscope.metrics import captions
from vlmscope.selection import listed, whole_words
from vlmscope.world.canvas import PAINTS
from vlmscope.world.labels import OBJECTS, POSITIONS

OTHER = "other"


def _listed(text: str) -> tuple[str, ...]:
    return tuple(listed(text))


COLORS = _listed(
    "red, blue, green, yellow, orange, purple, pink, brown, black, white, gray, cyan, magenta, turquoise, "
    "indigo, maroon, beige, gold, silver, olive, lavender, navy, teal, peach, violet, ivory, charcoal, "
    "amber, emerald, coral"
)

PLACES = _listed(
    "beach, mountain, forest, desert, city, village, river, ocean, park, island, countryside, jungle, "
    "cave, waterfall, lake, garden, market, museum, restaurant, airport, street, cinema, theater, school, "
    "library, stadium, bridge, station, bus stop, hotel, zoo, church, temple, mall, hospital, playground, "
    "harbor, factory, tower, university, kitchen, field, room, hill, store, cabinet, shop, place"
)

SENTIMENTS = _listed(
    "acceptance, accepting, admiration, alienated, alienation, ambition, ambitious, ambivalence, "
    "ambivalent, amused, anger, anxious, ashamed, awkward, bashful, betrayal, betrayed, bewildered, "
    "blushing, bored, chaotic, cheerful, concentration, conflict, conflicted, confusion, content, "
    "contentment, crying, curious, delighted, desire, desirous, despair, despairing, destined, destiny, "
    "determined, disappointed, disgust, disheartened, doubt, doubtful, dreamlike, ecstatic, elated, "
    "emotion, emptiness, excited, facial expression, faith, faithful, fated, fear, fearless, "
    "fearlessness, free, freedom, frown, frustrated, gloomy, grateful, grief, grin, grumpy, happy, hate, "
    "hope, hopeful, hopefulness, identifiable, identity, illusion, illusory, imagination, imaginative, "
    "indifferent, insecure, inspiration, inspirational, intense, introspection, introspective, jealous, "
    "joy, karma, karmic, laugh, liberated, liberation, loneliness, lonely, love, melancholy, memorable, "
    "mournful, mysterious, mystery, nervous, nightmare, nightmarish, optimistic, pensive, perseverance, "
    "persevering, playful, pleased, powerful, proud, purposeful, realistic, regret, regretful, relaxed, "
    "relief, reluctant, resentful, sad, serene, serenity, serious, skeptical, smile, smirk, solitary, "
    "solitude, surprised, sympathetic, tears, thoughtful, tranquil, tranquility, transformation, "
    "transformative, triumphant, trust, trustworthy, upset, vulnerability, vulnerable, weakness, wisdom, "
    "wise, worried, yearning"
)


CLASSES: dict[str, tuple[str, ...]] = {
    "colors": COLORS,
    "places": PLACES,
    "sentiments": SENTIMENTS,
    "drawn_colors": PAINTS,
    "drawn_places": ("park", "room", "beach"),
    "drawn_positions": POSITIONS,
    "drawn_things": OBJECTS,
}
# Classes of the released code whose words are not known.
UNKNOWN = ("positive_sentiments", "negative_sentiments")


def classes(files: Mapping[str, str] | None = None) -> dict[str, tuple[str, ...]]:
    """Every class with its words.

    files   class -> text file with a word or phrase per line; a class of that name is replaced
    """
    return CLASSES | {name: _read(name, path) for name, path in (files or {}).items()}


def words_of(name: str, files: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The words of one class."""
    known = classes(files)
    if name not in known:
        why = "Its words are not part of this software" if name in UNKNOWN else "There is no such class of words"
        raise VlmscopeError(
            f"{why}: {name}.",
            where="xl_vlms.captions.word_files",
            instead=f"a file with a word per line under that name, or one of: {', '.join(known)}",
        )
    return known[name]


def words_in(style: Sequence[str], files: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Words of a style, given as words or as names of classes."""
    named = [words_of(one, files) if one in classes(files) or one in UNKNOWN else (one,) for one in style]
    return tuple(dict.fromkeys(word for words in named for word in words))


def _read(name: str, path: str) -> tuple[str, ...]:
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VlmscopeError(f"The words of {name} cannot be read: {error}", where=path) from error
    found = tuple(dict.fromkeys(line.strip().lower() for line in lines if line.strip()))
    if not found:
        raise VlmscopeError(f"The words of {name}: the file is empty.", where=path, instead="a word per line")
    return found


# ---- counting ----------------------------------------------------------------------------------------------------


def holding(words: Sequence[str]) -> Callable[[str], bool]:
    """Tells whether a text has one of the words, as a whole and in any case."""
    pattern = whole_words(words)
    return lambda text: pattern.search(text) is not None


def occurrences(words: Sequence[str], text: str) -> int:
    """How often words of a class stand in a text."""
    return len(whole_words(words).findall(text))


def frequency(texts: Iterable[str], accept: Callable[[str], bool]) -> Counter[str]:
    """How often each accepted word is in the texts, without case.

    accept   `filter.WordFilter` of what counts as a word
    """
    return Counter(word for text in texts for word in captions.tokens(text) if accept(word))


def frequency_as_official(texts: Iterable[str], accept: Callable[[str], bool]) -> Counter[str]:
    """The same as the released code counts: between single blanks, so that a word before a full stop is lost."""
    return Counter(word.lower().strip() for text in texts for word in text.split(" ") if accept(word))


def type_counts(counted: Mapping[str, int], groups: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """How many of the counted words belong to each class, the first that has them; `other` for those in none."""
    home = {word: name for name, words in reversed(groups.items()) for word in words}
    found = dict.fromkeys([*groups, OTHER], 0)
    for word, count in counted.items():
        found[home.get(word, OTHER)] += count
    return found
