"""The verdict of an examination: the gravest concern first, each with how sure and what to do."""

from typing import Any

from curate.analysis.verdict import concerns, verdict


def share(value: float, low: float | None, high: float | None, clusters: int = 100) -> dict[str, Any]:
    return {"value": value, "hits": 70, "low": low, "high": high, "clusters": clusters}


def examination(**sources: dict[str, Any]) -> dict[str, Any]:
    filled = {label: {"pairs": 100, "faults": {}, "rulers": {}, **figures} for label, figures in sources.items()}
    return {"sources": filled, "agreement": []}


def ruler(wins: dict[str, Any]) -> dict[str, Any]:
    return {"differs": share(0.5, 0.4, 0.6), "wins": wins, "auc": share(0.5, 0.4, 0.6)}


LONGER = {"longer": ruler(share(0.7, 0.61, 0.78))}


def test_contradicting_sources_come_first_then_faults_then_shortcuts():
    found = examination(
        shp={
            "rulers": LONGER,
            "faults": {"identical/identical": share(0.02, 0.011, 0.04), "repeated": share(0.3, 0.2, 0.4)},
        },
        hh={},
    )
    found["agreement"] = [
        {
            "left": "hh",
            "right": "shp",
            "agreeing": 10,
            "opposed": 40,
            "share": 0.2,
            "prompts": 50,
            "low": 0.11,
            "high": 0.33,
        }
    ]
    assert [concern.what for concern in concerns(found)] == [
        "hh and shp prefer opposite replies: they agree in 20% of 50 comparisons that both have",
        "shp: 30.0% of pairs have the fault repeated (70 pairs)",
        "shp: 2.0% of pairs have the fault identical/identical (70 pairs)",
        "shp: the longer reply is preferred in 70% of the pairs where they differ in it (50% of all); "
        "a reward model could learn this",
    ]
    assert verdict(found) == [
        "wrong: hh and shp prefer opposite replies: they agree in 20% of 50 comparisons that both have",
        "sure:  95 % interval 11% to 33%, 50 prompts",
        "do:    one of them may have its columns swapped: read pairs of both with curate show",
        "3 more: --top 4 lists them",
    ]
    assert len(verdict(found, 4)) == 12


def test_what_chance_or_few_clusters_explain_is_no_concern():
    quiet = examination(
        a={"rulers": {"longer": ruler(share(0.7, 0.45, 0.8)), "digits": ruler(share(0.55, 0.52, 0.58))}},
        b={
            "rulers": {"longer": ruler(share(1.0, 0.9, 1.0, clusters=29))},
            "faults": {"repeated": share(0.3, 0.2, 0.4, 29)},
        },
        c={"faults": {"repeated": share(0.02, 0.009, 0.04)}},
    )
    assert concerns(quiet) == []
    assert verdict(quiet)[0] == "wrong: nothing that these checks look for"


def test_a_shortcut_in_the_other_direction_is_named():
    found = examination(a={"rulers": {"longer": ruler(share(0.2, 0.1, 0.3)), "bold": ruler(share(0.3, 0.2, 0.4))}})
    first, second = (concern.what for concern in concerns(found))
    assert first.startswith("a: the shorter reply is preferred in 80%")
    assert second.startswith("a: the reply with less bold is preferred in 70%")
