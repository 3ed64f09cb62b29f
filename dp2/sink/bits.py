"""Reads bits of coded headers, in the order of MPEG (highest first) or of Vorbis (lowest first)."""

from __future__ import annotations


class Bits:
    """A reader.

    Args:
        data: the bytes.
        lowest_first: how bits are packed: in Vorbis a byte's lowest bit comes first, and so does a number's.

    Attributes:
        position: in bits.
    """

    def __init__(self, data: bytes, *, lowest_first: bool = False) -> None:
        self._data = data
        self._lowest_first = lowest_first
        self.position = 0

    @property
    def left(self) -> int:
        """Bits that were not read."""
        return 8 * len(self._data) - self.position

    def read(self, count: int) -> int:
        """The next number of `count` bits.

        Raises:
            ValueError: there are not so many.
        """
        if count > self.left:
            raise ValueError("the header ends early")
        start, self.position = self.position, self.position + count
        chunk = self._data[start // 8 : -(-self.position // 8)]
        if self._lowest_first:
            return int.from_bytes(chunk, "little") >> start % 8 & (1 << count) - 1
        return int.from_bytes(chunk, "big") >> -self.position % 8 & (1 << count) - 1

    def skip(self, count: int) -> None:
        """Pass over bits.

        Raises:
            ValueError: there are not so many.
        """
        if count > self.left:
            raise ValueError("the header ends early")
        self.position += count

    def align(self) -> None:
        """To the next whole byte."""
        self.position = -(-self.position // 8) * 8

    def before(self) -> bytes:
        """All that was read, filled up to whole bytes with zeros."""
        whole, rest = divmod(self.position, 8)
        if rest == 0:
            return self._data[:whole]
        mask = (1 << rest) - 1 if self._lowest_first else 0xFF00 >> rest & 0xFF
        return self._data[:whole] + bytes([self._data[whole] & mask])
