"""What is planted in the blend: sets of pairs with a known outcome, a pure function of its class and number."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import blend_evalsets as exams
import blend_images as images
from blend_sources import Pair
from blend_text import Voice, jaccard, share_for

TEXT = ("olmo2_mix", "ultrafeedback")
TEXTS = (TEXT, ("wildchat_ultrafeedback", "tulu3_if"), ("olmo2_mix", "olmo2_mix"))
SHOWN = (("mmpr", "rlaif_v"), ("mm_rlhf", "mmpr"), ("mmpr", "mmpr"))
ALONE = (("olmo2_mix",), ("mmpr",), ("tulu3_if",), ("rlaif_v",), ("ultrafeedback",))
ALONE_TEXT = (("olmo2_mix",), ("wildchat_ultrafeedback",), ("tulu3_if",), ("ultrafeedback",))
ALONE_SHOWN = (("mmpr",), ("rlaif_v",), ("mm_rlhf",))
JACCARD = 0.8
LIMIT = 24_000
"""Of recipes/basereward_clean.yaml: the similarity of near-duplicates, and where the truncation check cuts."""

WORDS = 20  # of a prompt or reply that is planted as a leak

FEW_IMAGES = 200
"""So many images are in all planted pairs whose class is not about images."""


class Spot(NamedTuple):
    """The number of a set in its class, a number for images of its own, and whether its pairs have any."""

    number: int
    image: int
    has_images: bool


Make = Callable[[Voice, Spot], list[Pair]]


@dataclass(frozen=True, slots=True)
class Plant:
    """A class: how many sets a thousand pairs, in which sources their pairs are, and what becomes of them.

    outcome     a reason `step/why`; for a set of several pairs, one of them goes for it; "" means that all stay
    how      `dropped`, `skipped` in normalizing (outcome is its reason), `flagged` (all stay)
    judged   the near-duplicates: the outcome is that of the sets whose similarity is at least JACCARD
    most     sets in a blend of any size, where each has images of its own
    """

    make: Make
    sources: tuple[tuple[str, ...], ...]
    outcome: str = ""
    rate: float = 1.0
    how: str = "dropped"
    judged: bool = False
    most: int = 1_000_000


def _pair(voice: Voice, *media: str) -> Pair:
    return Pair(voice.say(500, 250), voice.say(1100, 500), voice.say(1100, 500), media)


def _with(pair: Pair, texts: dict[str, str]) -> Pair:
    """The pair with other texts."""
    return Pair(**(pair._asdict() | texts))


OWN = 7_000_000
"""From here on images have numbers that nothing but planted pairs shows."""


def _some(voice: Voice, at: Spot) -> Pair:
    return _pair(voice, *([images.plain(OWN + at.number % FEW_IMAGES)] if at.has_images else []))


def same(voice: Voice, at: Spot) -> list[Pair]:
    """The same pair twice."""
    return [_some(voice, at)] * 2


def swapped(voice: Voice, at: Spot) -> list[Pair]:
    """The same with the replies swapped."""
    pair = _some(voice, at)
    return [pair, pair._replace(chosen=pair.rejected, rejected=pair.chosen)]


def cycle(voice: Voice, at: Spot) -> list[Pair]:
    """A > B, B > C, C > A."""
    pair, third = _some(voice, at), voice.say(900, 400)
    return [
        pair,
        pair._replace(chosen=pair.rejected, rejected=third),
        pair._replace(chosen=third, rejected=pair.chosen),
    ]


def near(voice: Voice, at: Spot) -> list[Pair]:
    """Two with edited sides; in a third of them only the replies are edited, in a third only one of them."""
    pair = _some(voice, at)
    share = share_for(0.55 + 0.43 * voice.random.random())
    names = (("question", "chosen", "rejected"), ("chosen", "rejected"), ("rejected",))[at.number % 3]
    return [pair, _with(pair, {name: voice.edited(getattr(pair, name), share) for name in names})]


def collapse(voice: Voice, at: Spot) -> list[Pair]:
    """A prompt beyond the limit, or replies that part beyond it."""
    pair = _some(voice, at)
    if at.number % 2:
        return [pair._replace(question=voice.text(LIMIT + 2000 + voice.draw() % 9000))]
    question, start = voice.text(9000), voice.text(LIMIT - 9000 + 500)
    return [
        pair._replace(question=question, chosen=start + pair.chosen[:4000], rejected=start + pair.rejected[:4000])
    ]


def literal(voice: Voice, at: Spot) -> list[Pair]:
    """A placeholder in a reply."""
    pair = _some(voice, at)
    return [pair._replace(chosen=f"As <image> shows, {pair.chosen}")]


def placeholders(voice: Voice, at: Spot) -> list[Pair]:
    """As many placeholders as there are no images for."""
    return [_some(voice, at)._replace(fault="placeholders")]


def missing(voice: Voice, at: Spot) -> list[Pair]:
    """An image that is nowhere."""
    return [_pair(voice, f"p/{90_000_000 + at.number}.jpg")._replace(fault="missing")]


def broken(fault: str) -> Make:
    """An image that is none any more."""

    def make(voice: Voice, at: Spot) -> list[Pair]:
        name = images.drawing(OWN + at.image, png=True) if fault == "flipped" else images.photo(OWN + at.image)
        return [_pair(voice, f"b/{fault}/{name.removeprefix('p/')}")]

    return make


def other_image(letter: str) -> Make:
    """The same texts about another image: a copy, a look-alike, or another one altogether."""

    def make(voice: Voice, at: Spot) -> list[Pair]:
        number = OWN + FEW_IMAGES + at.image
        name = images.drawing(number) if letter == "l" else images.plain(number)
        pair = _pair(voice, name)
        return [pair, pair._replace(images=(images.variant(letter, name),))]

    return make


def same_prompt(voice: Voice, at: Spot) -> list[Pair]:
    """One long prompt, other replies."""
    pair = _some(voice, at)._replace(question=voice.say(3000, 2000))
    return [pair, pair._replace(chosen=voice.say(700, 300), rejected=voice.say(700, 300))]


def _item(at: Spot, offset: int = 0) -> exams.Item:
    """An item with a prompt that is its own, of so many words."""
    names = (
        ("multimodal_rewardbench",) if at.has_images else ("rewardbench", "rewardbench2", "rm_bench", "judgebench")
    )
    some = exams.of(*names)
    for skipped in range(len(some)):
        item = some[((at.number + offset) * 7919 + skipped) % len(some)]
        if len(item.prompt.split()) >= WORDS:
            return item
    raise AssertionError("no item has a prompt of so many words")


def leak_prompt(voice: Voice, at: Spot) -> list[Pair]:
    """The prompt of an item, word for word; every third time with text around it."""
    prompt = _item(at).prompt
    around = f"{voice.say(120)}\n\n{prompt}\n\n{voice.say(90)}" if at.number % 3 == 0 else prompt
    return [_some(voice, at)._replace(question=around)]


def leak_prompt_edited(voice: Voice, at: Spot) -> list[Pair]:
    """The same in other case and punctuation, and with other words here and there."""
    prompt = voice.lightly_edited(_item(at, 31).prompt)
    return [_some(voice, at)._replace(question=prompt)]


def leak_response(voice: Voice, at: Spot) -> list[Pair]:
    """A reply of an item as a reply."""
    replies = _item(at, 67).replies
    longest = next(reply for reply in sorted(replies, key=len, reverse=True))
    side = "chosen" if at.number % 2 else "rejected"
    return [_with(_some(voice, at), {side: longest})]


def leak_with_image(letter: str) -> Make:
    """The prompt of an item of VL-RewardBench, however plain, beside its image or a copy of that."""

    def make(voice: Voice, at: Spot) -> list[Pair]:
        items = exams.of("vl_rewardbench")
        item = items[at.number * 131 % len(items)]
        return [_pair(voice, f"{letter}{item.images[0][1:]}")._replace(question=_plain(item.prompt))]

    return make


def _plain(text: str) -> str:
    return text.replace("<image", "<picture")


def shared_image(letter: str) -> Make:
    """Another question about the image of an item, as of COCO images that everybody takes."""

    def make(voice: Voice, at: Spot) -> list[Pair]:
        items = exams.of("vl_rewardbench", "multimodal_rewardbench")
        return [_pair(voice, f"{letter}{items[at.number * 577 % len(items)].images[0][1:]}")]

    return make


def boilerplate(voice: Voice, at: Spot) -> list[Pair]:
    """Another question in the words that a benchmark puts around its own."""
    return [_some(voice, at)._replace(question=f"{voice.say(300)}\n\n{exams.BOILERPLATE}")]


def plain_question(voice: Voice, at: Spot) -> list[Pair]:
    """What half the world asks, and a benchmark too, about an image of its own."""
    return [_some(voice, at)._replace(question="Describe this image in detail.")]


GONE = "exact_duplicates/duplicate_pair"
LEAK = "decontaminate/"
PLANTS: dict[str, Plant] = {
    "exact, one source": Plant(same, (("mmpr",) * 2, ("olmo2_mix",) * 2, ("tulu3_if",) * 2), GONE, 5.0),
    "exact, two sources": Plant(same, (*TEXTS[:2], *SHOWN[:2]), GONE, 5.0),
    "reversed": Plant(swapped, (*TEXTS, *SHOWN), "label_conflicts/reversed", 3.0),
    "cycle of three": Plant(
        cycle,
        (("olmo2_mix", "ultrafeedback", "tulu3_if"), ("mmpr", "rlaif_v", "mm_rlhf"), ("mmpr",) * 3),
        "label_conflicts/cycle", 1.5,
    ),
    "near": Plant(near, (*TEXTS, *SHOWN), "near_dedup/near_duplicate", 12.0, judged=True),
    "truncation collapse": Plant(collapse, ALONE_TEXT, "truncation/same_after_truncation"),
    "placeholder in a reply": Plant(literal, ALONE_SHOWN, "media_mismatch/placeholder_left"),
    "placeholders beyond images": Plant(
        placeholders, (("mmpr",), ("mmpr",), ("mm_rlhf",)), "placeholder_mismatch", 0.5, how="skipped"
    ),
    "image missing": Plant(missing, (("mmpr",),), "image_missing", 0.5, how="skipped"),
    **{
        f"image broken: {fault}": Plant(broken(fault), ALONE_SHOWN, reason, 0.5, how="skipped", most=300)
        for fault, reason in images.FAULTS.items()
    },
    "image encoded or scaled anew": Plant(other_image("c"), SHOWN, "image_duplicates/near_image", 3.0, most=1000),
    "leak: prompt": Plant(leak_prompt, ALONE, f"{LEAK}prompt", 1.5),
    "leak: prompt, lightly edited": Plant(leak_prompt_edited, ALONE, f"{LEAK}prompt", 1.5),
    "leak: response": Plant(leak_response, ALONE, f"{LEAK}response", 1.5),
    "leak: prompt and image": Plant(leak_with_image("e"), ALONE_SHOWN, f"{LEAK}prompt_media", 1.5),
    "leak: prompt and copied image": Plant(leak_with_image("ec"), ALONE_SHOWN, f"{LEAK}prompt_media", most=1250),
    "image of an eval set": Plant(shared_image("e"), ALONE_SHOWN, f"{LEAK}media_only", how="flagged"),
    "copied image of an eval set": Plant(
        shared_image("ec"), ALONE_SHOWN, f"{LEAK}media_only", how="flagged", most=1250
    ),
    "clean: boilerplate": Plant(boilerplate, ALONE),
    "clean: plain question": Plant(plain_question, ALONE_SHOWN),
    "clean: one prompt, other replies": Plant(same_prompt, (*TEXTS, *SHOWN)),
    "clean: same texts, other image": Plant(other_image("o"), SHOWN, most=500),
    "clean: same texts, look-alike image": Plant(other_image("l"), SHOWN, most=500),
}  # fmt: skip


class Role(NamedTuple):
    """One pair of a set, and its source."""

    plant: str
    number: int
    role: int
    source: str


def planned(pairs: int) -> list[Role]:
    """All planted pairs of a blend of that size; at least 30 sets of a class."""
    found = []
    for name, plant in PLANTS.items():
        for number in range(min(plant.most, max(30, round(plant.rate * pairs / 1000)))):
            hosts = plant.sources[number % len(plant.sources)]
            found += [Role(name, number, role, source) for role, source in enumerate(hosts)]
    return found


def specimen(role: Role) -> tuple[Pair, float | None]:
    """The pair of a role; of near-duplicates also how alike the two are."""
    pairs = made(role.plant, role.number)
    if not PLANTS[role.plant].judged:
        return pairs[role.role], None
    sides = [(pair.question, pair.chosen, pair.rejected) for pair in pairs]
    return pairs[role.role], jaccard(*sides)


def made(name: str, number: int) -> list[Pair]:
    """The pairs of a set."""
    plant = PLANTS[name]
    hosts = plant.sources[number % len(plant.sources)]
    has_images = hosts[0] in ("mmpr", "rlaif_v", "mm_rlhf")
    spot = Spot(number, number * len(PLANTS) + list(PLANTS).index(name), has_images)
    return plant.make(Voice("plant", name, number), spot)


def images_of(roles: list[Role]) -> Iterator[str]:
    """The drawings that planted pairs show; those that are nowhere are not among them."""
    for role in roles:
        pair = made(role.plant, role.number)[role.role]
        yield from (() if pair.fault == "missing" else pair.images)
