"""Documents keep their size, and their links lead somewhere."""

from __future__ import annotations

import re

from tidy import ROOT, tracked, where


def test_documents_keep_their_size() -> None:
    """ARCHITECTURE.md stays readable in one sitting; every document that CONTRIBUTING names is."""
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 300
    for name in ("README.md", "STYLE.md", "CONTRIBUTING.md", "CHANGELOG.md", "RUNBOOK.md"):
        assert (ROOT / name).stat().st_size > 200, name


def test_links_between_documents_lead_somewhere() -> None:
    """Relative links of every Markdown file name a tracked file or folder."""
    broken = []
    for path in (p for p in tracked() if p.suffix == ".md"):
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
            if not target.startswith(("http:", "https:")) and not (path.parent / target).exists():
                broken.append(f"{where(path)} -> {target}")
    assert not broken
