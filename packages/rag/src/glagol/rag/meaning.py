"""Questions as vectors, moved away from small talk.

Vectors of one encoder lie in a narrow cone, and what lies in its middle is near to every question:
greetings, thanks, talk about nothing. A question therefore loses half of the mean vector of such
talk (centring against hubs: Suzuki et al., EMNLP 2013; here with a fixed set, so that what one
owner finds does not depend on another's recordings). docs/guides/search.md has what it brings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glagol.embed.engine import Embedder

__all__ = ["Meaning"]

_SHARE: Final = 0.5
_SMALL_TALK: Final = (
    "Здравствуйте, спасибо, что пришли.",
    "Давайте начнём.",
    "Да, я согласен с вами.",
    "Нет, я так не думаю.",
    "Хорошо, договорились.",
    "Одну минуту, пожалуйста.",
    "Я не расслышал, повторите.",
    "Это надо обсудить отдельно.",
    "Вопросы есть?",
    "Вот такая у нас ситуация.",
    "Сейчас я посмотрю и скажу.",
    "До свидания, хорошего дня.",
    "Мы об этом уже говорили в прошлый раз.",
    "Потом вернёмся к этому вопросу.",
    "На этом всё, спасибо за внимание.",
    "Как дела, что нового?",
    "Я запишу и отвечу позже.",
    "Тогда следующий пункт.",
    "Меня хорошо слышно?",
    "Понятно, спасибо.",
    "Hello, thank you for coming.",
    "Let us begin.",
    "Yes, I agree.",
    "No, I do not think so.",
    "We will come back to this later.",
    "Are there any questions?",
    "That is all for today.",
    "Goodbye, have a nice day.",
)
_LEVELS: Final = {("query: ", 384): 0.633}
"""The cosine from which a turn is taken for an answer, by an encoder's prefix and size.

Measured with multilingual-e5-small on half of the kept questions; unknown for other encoders.
"""

_ACROSS: Final = 0.04
"""By how much cosines are lower where a question and a turn are in different languages."""

_CYRILLIC: Final = re.compile(r"[а-яё]", re.IGNORECASE)


@dataclass(frozen=True)
class Meaning:
    """Makes the vectors of questions, and says when a turn is near enough to answer.

    Attributes:
        embedder: Of the index.
    """

    embedder: Embedder

    @property
    def level(self) -> float | None:
        """The cosine from which a turn may answer; None where it is not known for the encoder."""
        parameters = self.embedder.parameters
        return _LEVELS.get((parameters.query_prefix, parameters.dimensions))

    def vector(self, question: str) -> NDArray[np.float32]:
        """The vector float32 [D] of a question, of length 1."""
        (vector,) = self.embedder.embed([question], "query")
        moved: NDArray[np.float32] = vector - _SHARE * self._small_talk
        length = float(np.linalg.norm(moved))
        return moved / np.float32(length) if length else moved

    def certainty(self, cosine: float, question: str, turn: str) -> float:
        """A cosine, comparable between questions in the language of a turn and in another one."""
        across = bool(_CYRILLIC.search(question)) != bool(_CYRILLIC.search(turn))
        return cosine + _ACROSS * across

    @cached_property
    def _small_talk(self) -> NDArray[np.float32]:
        mean: NDArray[np.float32] = self.embedder.embed(_SMALL_TALK, "passage").mean(axis=0)
        return mean
