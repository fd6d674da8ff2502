"""What the Hub's validate-yaml refuses in a README's front matter: the rules a data card can break."""

import re
from typing import Any

import yaml

from .store import front_matter

_LICENSES = """
apache-2.0 mit openrail bsd bsd-2-clause bsd-3-clause c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0
cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0
cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl
afl-3.0 artistic-2.0 bsl-1.0 ecl-2.0 epl-1.0 epl-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl
lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense
zlib pddl gemma llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 unknown other
"""
_SIZES = """
n<1K 1K<n<10K 10K<n<100K 100K<n<1M 1M<n<10M 10M<n<100M 100M<n<1B 1B<n<10B 10B<n<100B 100B<n<1T n>1T
"""
LICENSES, SIZES = frozenset(_LICENSES.split()), frozenset(_SIZES.split())


def validate(content: str) -> tuple[list[str], list[str]]:
    """Errors and warnings for a README's text; both empty means accepted."""
    try:
        card = front_matter(content)
    except yaml.YAMLError as error:
        return [f"YAML syntax: {error}"], []
    if not card:
        return [], ["empty or missing yaml metadata in repo card"]
    checks = {
        "license": _license,
        "size_categories": _sizes,
        "language": _language,
        "tags": _tags,
        "configs": _configs,
    }
    return [f'"{name}" {why}' for name, check in checks.items() if name in card and (why := check(card[name]))], []


def _license(value: Any) -> str | None:
    return None if _all(value, lambda item: item in LICENSES) else "must be one of the known licence names"


def _sizes(value: Any) -> str | None:
    return None if _all(value, lambda item: item in SIZES) else f"must be one of {sorted(SIZES)}"


def _language(value: Any) -> str | None:
    good = _all(value, lambda item: re.fullmatch(r"[a-z]{2,3}|code|multilingual", item) is not None)
    return None if good else "must be ISO 639-1, 639-2 or 639-3 codes"


def _tags(value: Any) -> str | None:
    return None if isinstance(value, list) and _all(value, bool) else "must be an array of strings"


def _configs(value: Any) -> str | None:
    good = isinstance(value, list) and all(
        isinstance(c, dict) and isinstance(c.get("config_name"), str) for c in value
    )
    return None if good else "must be an array of objects with a config_name"


def _all(value: Any, good: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return all(isinstance(item, str) and good(item) for item in items)
