"""Images in every shape in which upstream ships them."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.sources.images import media_of, required_media
from tests.support.upstream import draw, reason

PNG = draw.image(8, 6)
CODED = base64.b64encode(PNG).decode()


@pytest.mark.parametrize("nothing", [None, "", "  ", []])
def test_no_image(nothing):
    assert media_of(nothing) == []
    assert reason(required_media, nothing) == "no_image"


@pytest.mark.parametrize(
    "lost",
    [[None], [""], ["  "], [[]], [PNG, None], {"bytes": None, "path": None}, {"path": ""},
     {"bytes": b"", "path": ""}, [{"bytes": None, "path": None}], b"", {"url": None}, {"bytes": ""}],
)  # fmt: skip
def test_an_image_that_is_named_but_empty_is_missing(lost):
    assert reason(media_of, lost) == "image_missing"


def test_a_path_counts_where_the_bytes_are_empty():
    assert (
        media_of({"bytes": b"", "path": "a.png"}) == media_of({"bytes": "", "path": "a.png"}) == media_of("a.png")
    )


@pytest.mark.parametrize(
    "value",
    [
        PNG,
        [PNG],
        CODED,
        CODED[:50] + "\n" + CODED[50:],
        f"data:image/png;base64,{CODED}",
        {"bytes": PNG, "path": "a.png"},
        {"bytes": CODED},
    ],
)
def test_image_bytes_in_any_of_their_shapes(value):
    assert [(item.kind, item.path, item.data) for item in media_of(value)] == [("image", "", PNG)]


@pytest.mark.parametrize(
    "path",
    [
        "a.png",
        "./data/coco/COCO_train2014_000000353952.jpg",
        "/mmu_mllm_hdd/author/RLAIF-V-image/cake.jpg",
        "Representation & ToxicityHarms/Unfair/racial/170.jpg",
        "/9j/4AAQSkZJRgABAQ.jpg",
        "iVBORw0KGgo",
        "UklGR/" + "folder/" * 20 + "a.webp",
    ],
)
def test_a_path_stays_a_path(path):
    for value in (path, [path], {"bytes": None, "path": path}):
        assert [(item.path, item.data) for item in media_of(value)] == [(path, None)]


def test_lists_keep_their_order_and_mixed_shapes():
    found = media_of(["a.png", {"bytes": PNG, "path": None}, ("b.png",)])
    assert [item.path or item.data for item in found] == ["a.png", PNG, "b.png"]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("https://example.org/a.png", "image_is_a_url"),
        (CODED[:-3], "image_not_base64"),
        ("data:image/png;base64,not base64!", "image_not_base64"),
        ("data:image/png;base64,é", "image_not_base64"),
        (7, "image_of_unknown_shape"),
        ({"id": "a.png"}, "image_of_unknown_shape"),
        ([PNG, 7], "image_of_unknown_shape"),
    ],
)
def test_what_is_no_image_is_an_error(value, why):
    assert reason(media_of, value) == why


@given(st.binary(max_size=200))
def test_base64_of_an_image_gives_its_bytes_back(rest):
    data = PNG + rest
    assert media_of(base64.b64encode(data).decode()) == media_of(data)
