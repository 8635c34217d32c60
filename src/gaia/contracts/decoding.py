"""What decoding bytes that may be anything raises."""

from __future__ import annotations

from typing import Final

import msgspec

UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""msgspec's own error does not cover text that is not UTF-8, nor brackets a thousand deep."""
