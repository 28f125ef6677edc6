"""docs/settings.md is what the settings classes say."""

from cli import docs


def test_the_page_of_settings_is_current() -> None:
    assert docs.DOCUMENT.read_text(encoding="utf-8") == docs.written(), "run `.venv/bin/astra docs settings`"


def test_every_setting_says_what_it_means() -> None:
    rows = [line for line in docs.written().splitlines() if line.startswith("| `ASTRA_")]
    assert rows
    assert [row for row in rows if row.endswith("|  |")] == []
