from pathlib import Path

import pytest

from millstream.supervisor.errors import LayoutError
from millstream.supervisor.layout import discover


def _write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def test_web_app_and_readers_are_found_by_their_names(tmp_path: Path) -> None:
    _write(tmp_path, "shop/shop_api.py", "shop/queuereader_b.py", "shop/queuereader_a.py", "shop/settings.toml")

    (service,) = discover(tmp_path)

    assert service.name == "shop"
    assert service.web_app == tmp_path / "shop" / "shop_api.py"
    assert [reader.name for reader in service.readers] == ["queuereader_a.py", "queuereader_b.py"]


def test_folders_without_either_are_no_services(tmp_path: Path) -> None:
    _write(tmp_path, "a/queuereader_a.py", "docs/readme.md", "other/shop_api.py", ".hidden/queuereader_x.py", "top.py")

    assert [(service.name, service.web_app) for service in discover(tmp_path)] == [("a", None)]


def test_a_folder_without_services_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"queuereader_<name>\.py"):
        discover(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="nowhere"):
        discover(tmp_path / "nowhere")
