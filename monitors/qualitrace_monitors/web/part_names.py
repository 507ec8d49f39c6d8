"""Values of the traffic that tell its parts apart, such as releases and routes, as a reader sees them.

They may hold personal data, as a route with an address in it does.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b

_PERSON = b"part name"  # other marks are made with the key, too
_MARK_BYTES = 4
"""The length of a mark: no two of fifty values have the same."""


@dataclass(frozen=True, slots=True)
class PartNames:
    """What is shown in place of values, and what addresses hold.

    A value of which the reader does not see all has a mark, which stands for it in addresses.

    Attributes:
        show: returns what the reader sees of a text.
        key: of the marks: who does not know it cannot try which value has a mark.
    """

    show: Callable[[str], str]
    key: bytes

    def shown(self, value: str) -> str:
        """Return a value as the reader sees it: `[email] ~5f3a9c01`."""
        text = self.show(value)
        return text if text == value else f"{text} {self._mark(value)}"

    def address(self, value: str) -> str:
        """Return what stands for a value in addresses and forms."""
        return value if self.show(value) == value else self._mark(value)

    def find(self, address: str, values: Iterable[str]) -> str:
        """Return the one of some values that an address means, whether it has the value or its mark.

        What means none of them is returned as it is.
        """
        return next((value for value in values if self.address(value) == address), address)

    def _mark(self, value: str) -> str:
        text = value.encode("utf-8", "replace")
        return f"~{blake2b(text, key=self.key, digest_size=_MARK_BYTES, person=_PERSON).hexdigest()}"
