"""Groups of copies: which images belong together, by what was found of their pairs."""

import numpy as np

from curate.images.compare import Copies


def either(one: Copies, other: Copies) -> Copies:
    """The pairs of both, each once: where only one is sure its, else that which is less unlike."""
    left, right = np.concatenate([one.left, other.left]), np.concatenate([one.right, other.right])
    unlike = np.concatenate([one.unlike, other.unlike])
    distance = np.concatenate([one.distance, other.distance])
    sure = np.concatenate([one.sure, other.sure])
    order = np.lexsort((unlike, ~sure, right, left))
    new = (np.diff(left[order]) != 0) | (np.diff(right[order]) != 0)
    some = order[np.append(True, new)[: len(order)]]
    return Copies(left[some], right[some], unlike[some], distance[some], sure[some])


class Groups:
    """Images joined by verified pairs; the first image of a group is its leader.

    Images are numbered the largest first. Pairs are taken by their distance over the whole image, the least first:
    what encoding did to a copy is the same against all, so a look-alike is farther by what it shows itself. An
    image joins a group by a pair of copies with any member, but only if compared with the leader it is a
    copy or a look-alike too: so no chain leads from one picture to another.
    """

    def __init__(self, pairs: Copies) -> None:
        self._unlike: dict[tuple[int, int], float] = {}
        self._leader: dict[int, int] = {}
        self._members: dict[int, list[int]] = {}
        order = np.lexsort((pairs.left, pairs.right, pairs.distance))
        columns = (pairs.left, pairs.right, pairs.unlike, pairs.sure)
        listed = list(zip(*(column[order].tolist() for column in columns), strict=True))
        for one, other, unlike, _ in listed:
            self._unlike[one, other] = unlike
        for one, other, _, sure in listed:
            if sure:
                self._join(one, other)
        self._doubts = [(one, other) for one, other, _, sure in listed if not sure]

    def _join(self, one: int, other: int) -> None:
        first, second = sorted((self._of(one), self._of(other)))
        others = self._members.get(second, [second])
        if first != second and all((first, member) in self._unlike for member in others):
            self._members.setdefault(first, [first]).extend(others)
            self._members.pop(second, None)
            self._leader.update(dict.fromkeys(others, first))

    def _of(self, image: int) -> int:
        return self._leader.get(image, image)

    def copies(self) -> list[tuple[int, int, float]]:
        """(copy, leader, unlike) of every image that has a leader, by the copy."""
        return [(copy, of, self._unlike[of, copy]) for copy, of in sorted(self._leader.items())]

    def look_alikes(self) -> list[tuple[int, int, float]]:
        """(leader, larger leader, unlike) of groups that may be one, for each the nearest other."""
        found: dict[int, tuple[int, int, float]] = {}
        for one, other in self._doubts:
            first, second = sorted((self._of(one), self._of(other)))
            if first != second and second not in found:
                found[second] = (second, first, self._unlike[one, other])
        return [found[leader] for leader in sorted(found)]
