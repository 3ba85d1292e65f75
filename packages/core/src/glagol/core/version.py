"""The version of Glagol: of every package, of a bundle, and of `glagol --version`."""

from typing import Final

VERSION: Final = "0.1.0"
