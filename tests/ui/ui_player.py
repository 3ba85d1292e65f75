"""Sound and text of a recording together: a click on a word, the word that is marked."""

from __future__ import annotations

import random
from typing import Any

from asr.process import Server
from ui.browser import NEAR_S, Open, segments

# where the middle of word `word` of the `number`-th segment is on the screen
PLACE = """([number, word]) => {
  const p = document.querySelectorAll(".seg p")[number], node = p.firstChild;
  p.scrollIntoView({ block: "center" });
  let at = 0;
  const words = node.data.split(" ");
  for (let i = 0; i < word; i++) at += words[i].length + 1;
  const range = document.createRange();
  range.setStart(node, at);
  range.setEnd(node, at + words[word].length);
  const box = range.getClientRects()[0];
  return [box.x + box.width / 2, box.y + box.height / 2];
}"""
WATCH = """() => {
  const audio = document.getElementById("audio");
  window.sought = [];
  audio.addEventListener("seeking", () => sought.push(audio.currentTime));
}"""
# notes [time of the sound, segment, word] whenever a word is marked
MARKS = """() => {
  const audio = document.getElementById("audio"), marks = CSS.highlights.get("word");
  const add = marks.add.bind(marks);
  window.marked = [];
  marks.add = (range) => {
    const before = range.startContainer.data.slice(0, range.startOffset);
    const id = Number(range.startContainer.parentElement.closest(".seg").dataset.id);
    marked.push([audio.currentTime, id, before.split(" ").length - 1]);
    return add(range);
  };
}"""
SEEK = """async (at) => {
  const audio = document.getElementById("audio");
  const over = new Promise((resolve) => audio.addEventListener("seeked", resolve, { once: true }));
  audio.currentTime = at;
  await over;
  await new Promise(requestAnimationFrame);
}"""


def starts(segment: list[Any]) -> list[int]:
    """When the words of a segment begin, in milliseconds."""
    at, found = segment[1], []
    for delta in segment[6][::3]:
        at += delta
        found.append(at)
    return found


def test_a_click_on_a_word_plays_it(server: Server, visit: Open, call: str) -> None:
    """Fifty words drawn by lot: the sound goes to the start of the word that was clicked."""
    page, text = visit().recording(call), segments(server, call)
    lot = random.Random(7)  # noqa: S311
    page.wait_for_function("() => document.getElementById('audio').readyState > 0")
    page.evaluate(WATCH)
    for _ in range(50):
        number = lot.randrange(len(text))
        times = starts(text[number])
        word = lot.randrange(len(times))
        page.evaluate("() => { document.getElementById('audio').pause(); sought.length = 0; }")
        page.mouse.click(*page.evaluate(PLACE, [number, word]))
        page.wait_for_function("() => sought.length > 0")
        assert abs(page.evaluate("() => sought[0]") - times[word] / 1000) < NEAR_S


def test_the_marked_word_is_the_one_that_is_said(server: Server, visit: Open, call: str) -> None:
    """Of 100 marks each is the word of its moment: at places by lot, and played at three speeds.

    The wheel lets go of the text, the button takes it up again.
    """
    page = visit().recording(call)
    text = {each[0]: each for each in segments(server, call)}
    page.wait_for_function("() => document.getElementById('audio').readyState > 0")
    page.evaluate(MARKS)
    lot = random.Random(11)  # noqa: S311
    sung = [(start, each) for each in text.values() for start in starts(each)]
    for start, _ in lot.sample(sung, 40):
        page.evaluate(SEEK, start / 1000 + 0.01)
    page.evaluate("() => { document.getElementById('audio').currentTime = 0; }")
    page.click("#play")
    for rate in ("0.75", "1", "2"):
        page.select_option("#rate", rate)
        count = page.evaluate("() => marked.length")
        page.wait_for_function("(count) => marked.length >= count", arg=count + 20)
    marks = page.evaluate("() => marked")
    assert len(marks) >= 100
    for now, identity, word in marks:
        times = starts(text[identity])
        after = times[word + 1] if word + 1 < len(times) else text[identity][2] + 1
        assert times[word] - 2 <= now * 1000 < after + 1, (now, identity, word)
    assert page.get_attribute("#follow", "aria-pressed") == "true"
    page.mouse.move(400, 500)
    page.mouse.wheel(0, 50)
    page.wait_for_selector("#follow[aria-pressed=false]")
    page.click("#follow")
    page.wait_for_selector("#follow[aria-pressed=true]")
