"""Pages of `curate browse` as tests read them, and labels as the page sends them."""

import re
import time

OWN = {"Origin": "http://127.0.0.1:8001"}
ID = re.compile(r'data-pair="([0-9a-f]{32})"')


def ids(page: str) -> list[str]:
    return ID.findall(page)


def total(page: str) -> int:
    text = re.search(r'<p class="status"[^>]*>([^<]*)<', page)[1]
    return int(re.search(r"(\d+) pairs", text)[1])


def facets(page: str) -> dict[str, dict[str, int]]:
    found = {}
    for part in page.split('<section class="facet"><h2>')[1:]:
        name = part.partition("<")[0]
        values = re.findall(r'>([^<>]*(?:<wbr>[^<>]*)*)</a> <span class="count">([\d,]+)<', part)
        found[name] = {value.replace("<wbr>", ""): int(count) for value, count in values}
    return found


def found_by(client, **query: str) -> list[str]:
    page = client.get("/", params=query).text
    for _ in range(50):
        if "data-searching" not in page:
            break
        time.sleep(0.02)
        page = client.get("/", params=query).text
    return ids(page)


def label(client, pair_id: str, choice: str, headers: dict | None = None, **more: str):
    given = {"pair_id": pair_id, "choice": choice, "who": "ada", "back": "/?page=2", **more}
    return client.post("/label", data=given, headers=OWN if headers is None else headers)
