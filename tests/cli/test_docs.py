"""Pages that are written from the code are current."""

from cli import docs


def test_the_page_of_settings_is_current() -> None:
    assert docs.DOCUMENT.read_text(encoding="utf-8") == docs.written(), "run `.venv/bin/astra docs settings`"


def test_every_setting_says_what_it_means() -> None:
    rows = [line for line in docs.written().splitlines() if line.startswith("| `ASTRA_")]
    assert rows
    assert [row for row in rows if row.endswith("|  |")] == []


def test_the_picture_of_the_architecture_is_current() -> None:
    readme = docs.README.read_text(encoding="utf-8")
    assert docs.with_picture(readme) == readme, "run `.venv/bin/astra docs architecture`"
