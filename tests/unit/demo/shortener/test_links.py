from pathlib import Path

from millstream.demo.shortener.links import CODE_LENGTH, Links


async def test_a_link_is_found_by_its_code_also_after_a_restart(tmp_path: Path) -> None:
    links = await Links.open(tmp_path / "shortener.db")
    added = await links.add("http://a.example/", "me")
    await links.close()

    links = await Links.open(tmp_path / "shortener.db")
    found = await links.find(added.code)
    unknown = await links.find("nothing")
    await links.close()

    assert found == added
    assert unknown is None
    assert len(added.code) == CODE_LENGTH
