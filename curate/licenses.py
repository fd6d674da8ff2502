"""What a licence allows, as data, and what follows for a blend. A reading aid, not legal advice.

`TERMS` reads licence ids as the Hub writes them. Where a licence depends on the user or the use (community
licences of models, OpenRAIL), its terms are unknown here: somebody has to read it. Unknown never counts as
allowed. A licence may hold with a condition that its id on the Hub does not show: such a source has an id of its
own here, see `CONDITIONED`.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Permission = Literal["allowed", "unknown", "parts not", "forbidden"]
"""From the best to the worst; `parts not`: allowed but for parts of the set that its rows do not show."""

Duty = Literal["no", "unknown", "yes"]

UNKNOWN = "unknown"
"""The word for a licence that upstream does not state (null in a pairs file)."""

NO_ADVICE = "This is a reading aid made from licence ids, no legal advice."


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What one licence permits and requires; `derivatives` are changed copies."""

    commercial: Permission = "allowed"
    redistribution: Permission = "allowed"
    derivatives: Permission = "allowed"
    attribution: Duty = "yes"
    share_alike: Duty = "no"


CONDITIONED = {"odc-by-parts-nc": "odc-by", "cc-by-4.0-prompts-only": "cc-by-4.0"}
"""Ids of this project for a Hub id with a condition on the card.

ODC-BY, some portions non-commercial; CC-BY-4.0 for the prompts, the replies under the terms of their models.
"""

FREE = Terms(attribution="no")
NOTICE = Terms()
COPYLEFT = Terms(share_alike="yes")
PARTS_NOT = Terms(commercial="parts not", share_alike="unknown")
DEPENDS = Terms(commercial="unknown", redistribution="unknown", derivatives="unknown", share_alike="unknown")
NOTHING_KNOWN = Terms(
    commercial="unknown",
    redistribution="unknown",
    derivatives="unknown",
    attribution="unknown",
    share_alike="unknown",
)


def _creative_commons() -> dict[str, Terms]:
    out = {}
    for version in ("1.0", "2.0", "2.5", "3.0", "4.0"):
        for kind in ("by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd"):
            out[f"cc-{kind}-{version}"] = Terms(
                commercial="forbidden" if "nc" in kind else "allowed",
                derivatives="forbidden" if "nd" in kind else "allowed",
                share_alike="yes" if "sa" in kind else "no",
            )
    return out


TERMS: dict[str, Terms] = {
    **dict.fromkeys(("cc0-1.0", "unlicense", "pddl", "wtfpl", "0bsd"), FREE),
    **dict.fromkeys(
        ("mit", "apache-2.0", "bsd", "bsd-2-clause", "bsd-3-clause", "isc", "zlib", "afl-3.0", "artistic-2.0",
         "ecl-2.0", "ms-pl", "postgresql", "ncsa", "bsl-1.0", "odc-by", "cdla-permissive-1.0",
         "cdla-permissive-2.0", "etalab-2.0"),
        NOTICE,
    ),
    **dict.fromkeys(
        ("gpl-2.0", "gpl-3.0", "lgpl-2.1", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "epl-2.0", "eupl-1.1", "odbl",
         "cdla-sharing-1.0", "gfdl"),
        COPYLEFT,
    ),
    **_creative_commons(),
    **dict.fromkeys(
        ("llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4", "gemma", "openrail", "openrail++",
         "bigscience-openrail-m", "bigscience-bloom-rail-1.0", "creativeml-openrail-m", "bigcode-openrail-m"),
        DEPENDS,
    ),
    "odc-by-parts-nc": PARTS_NOT,
    "cc-by-4.0-prompts-only": DEPENDS,
    **dict.fromkeys((UNKNOWN, "other"), NOTHING_KNOWN),
}  # fmt: skip


def known_id(name: str | None) -> str:
    """The id in lower case; `unknown` for null and for nothing but white space."""
    return (name or "").strip().lower() or UNKNOWN


def terms(name: str | None) -> Terms:
    """What is known of a licence id; of one that is not in the table, nothing."""
    return TERMS.get(known_id(name), NOTHING_KNOWN)


def with_condition(pinned: str | None, declared: str | None) -> str | None:
    """The licence id pinned at a commit, or else declared by the source, with the source's condition."""
    base = CONDITIONED.get(declared or "")
    return declared if not pinned or known_id(pinned) == base else pinned


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendTerms:
    """The most restrictive terms of a blend, and which sources have them; sources are sorted.

    A mix is a changed copy, so `redistribution` of it covers derivatives too, and `forbids_redistribution` names
    sources that forbid either; `parts_not_commercial` names those of which parts may not be used commercially.
    `unknown` counts, by source, the pairs of which some permission is unknown.
    `conflicts` are sentences about licences that cannot hold for one blend together. `license` is the id for the
    front matter of a card; `license_name` goes with `other`.
    """

    pairs: int
    commercial: Permission
    redistribution: Permission
    attribution: Duty
    share_alike: Duty
    forbids_commercial: tuple[str, ...]
    forbids_redistribution: tuple[str, ...]
    parts_not_commercial: tuple[str, ...]
    unknown: Mapping[str, int]
    unknown_pairs: int
    conflicts: tuple[str, ...]
    license: str
    license_name: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the lock."""
        plain = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}


def blend_terms(pairs_by_license: Mapping[tuple[str, str | None], int]) -> BlendTerms:
    """What holds for a blend of so many pairs by (source, licence id or null); entries of 0 do not count."""
    found = {key: n for key, n in pairs_by_license.items() if n}
    known = {(source, name): terms(name) for source, name in found}
    unknown = Counter[str]()
    for (source, name), n in found.items():
        if UNKNOWN in _permissions(known[source, name]):
            unknown[source] += n
    ids = sorted({known_id(name) for _, name in found})
    return BlendTerms(
        pairs=sum(found.values()),
        commercial=_worst_permission([one.commercial for one in known.values()]),
        redistribution=_worst_permission(
            [permission for one in known.values() for permission in (one.redistribution, one.derivatives)]
        ),
        attribution=_worst_duty([one.attribution for one in known.values()]),
        share_alike=_worst_duty([one.share_alike for one in known.values()]),
        forbids_commercial=_sources(known, lambda one: one.commercial == "forbidden"),
        forbids_redistribution=_sources(known, lambda one: "forbidden" in (one.redistribution, one.derivatives)),
        parts_not_commercial=_sources(known, lambda one: one.commercial == "parts not"),
        unknown=dict(sorted(unknown.items())),
        unknown_pairs=unknown.total(),
        conflicts=_conflicts(ids),
        license=ids[0] if len(ids) == 1 and _is_hub_id(ids[0]) else "other",
        license_name=_name(ids),
    )


def _permissions(one: Terms) -> tuple[Permission, ...]:
    return one.commercial, one.redistribution, one.derivatives


def _worst_permission(values: list[Permission]) -> Permission:
    order: tuple[Permission, ...] = ("forbidden", "parts not", "unknown", "allowed")
    return next((value for value in order if value in values), "allowed" if values else "unknown")


def _worst_duty(values: list[Duty]) -> Duty:
    order: tuple[Duty, ...] = ("yes", "unknown", "no")
    return next((value for value in order if value in values), "unknown")


def _sources(known: Mapping[tuple[str, str | None], Terms], holds: Callable[[Terms], bool]) -> tuple[str, ...]:
    return tuple(sorted({source for (source, _), one in known.items() if holds(one)}))


def _is_hub_id(name: str) -> bool:
    return name in TERMS and name not in CONDITIONED


def _name(ids: list[str]) -> str | None:
    if len(ids) == 1:
        return None if _is_hub_id(ids[0]) and ids[0] != "other" else ids[0]
    return "mixed"


def _conflicts(ids: list[str]) -> tuple[str, ...]:
    """Share-alike licences of the blend, each with a licence that it cannot be combined with."""
    alike = [name for name in ids if terms(name).share_alike == "yes"]
    out = [
        f"{first} and {second} each require that the whole be under them"
        for i, first in enumerate(alike)
        for second in alike[i + 1 :]
    ]
    free = [name for name in alike if terms(name).commercial == "allowed"]
    closed = [name for name in ids if terms(name).commercial == "forbidden" and name not in alike]
    out += [
        f"{name} requires that all may use the whole commercially, {other} forbids it for its part"
        for name in free
        for other in closed
    ]
    return tuple(out)
