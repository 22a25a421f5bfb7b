"""Which users the kernel routes alike, as far as routing rules are about users."""

from bisect import bisect_right
from collections.abc import Iterable

Range = tuple[int, int]  # of user ids, first and last
Kind = frozenset[Range]  # the ranges that a user is in


class ToldApart:
    """Users by the ranges of user ids that routing rules are about."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self.ranges = frozenset(ranges)
        self._edges: list[int] = []  # where a range begins, or has ended
        self._kinds: list[Kind] = [frozenset()]  # of users below the first edge, then from each on
        begin: dict[int, list[Range]] = {}
        ended: dict[int, list[Range]] = {}
        for one in self.ranges:
            begin.setdefault(one[0], []).append(one)
            ended.setdefault(one[1] + 1, []).append(one)
        for edge in sorted(begin.keys() | ended.keys()):
            self._edges.append(edge)
            self._kinds.append(self._kinds[-1].difference(ended.get(edge, ())).union(begin.get(edge, ())))

    def kind(self, uid: int) -> Kind:
        """Two users of one kind are routed alike."""
        return self._kinds[bisect_right(self._edges, uid)]
