from datetime import UTC, datetime, timedelta, timezone

import pytest

from millstream.base.errors import OptionError
from millstream.tools.nsq_to_file.file_name import FileName, format_time, host_text

INSTANT = datetime(2026, 3, 5, 18, 7, 9, tzinfo=timezone(timedelta(hours=1), "CET"))
INSTANT_NS = int(INSTANT.timestamp()) * 1_000_000_000 + 999_999_999


def name(filename_format: str = "<TOPIC>.<HOST><REV>.<DATETIME>.log", **changes: object) -> FileName:
    values: dict[str, object] = {"datetime_format": "%Y-%m-%d_%H", "topic": "clicks", "host": "vm", "process_id": 42}
    return FileName(filename_format=filename_format, zone=UTC, **values | changes)  # type: ignore[arg-type] # any


@pytest.mark.shows("nsq_to_file --filename-format")
def test_the_default_format_has_topic_host_and_hour() -> None:
    assert name().at(INSTANT_NS) == "clicks.vm.2026-03-05_17.log"


@pytest.mark.shows("nsq_to_file: revisions")
def test_a_revision_stands_where_the_format_has_its_place() -> None:
    pattern = name(has_revisions=True, gzip=True).at(INSTANT_NS)

    assert FileName.with_revision(pattern, 0) == "clicks.vm-000000.2026-03-05_17.log.gz"
    assert FileName.with_revision(pattern, 12) == "clicks.vm-000012.2026-03-05_17.log.gz"


@pytest.mark.shows("nsq_to_file: revisions")
def test_a_format_that_lacks_a_needed_revision_is_refused() -> None:
    with pytest.raises(OptionError, match="missing <REV>"):
        name("<TOPIC>.log", has_revisions=True)


def test_gz_is_added_once() -> None:
    assert name("<TOPIC><REV>.gz", gzip=True, has_revisions=True).at(0) == "clicks<REV>.gz"


@pytest.mark.shows("nsq_to_file --filename-format", "nsq_to_file: names of files")
def test_a_name_may_have_folders_and_the_process() -> None:
    assert name("/<DATETIME>/<TOPIC>.<PID>", datetime_format="%Y/%m").at(INSTANT_NS) == "2026/03/clicks.42"


@pytest.mark.parametrize("filename_format", ["", "<TOPIC>/", "../<TOPIC>", "/", "a\0b", "x/../../<TOPIC>"])
def test_a_format_that_names_no_file_in_the_folder_is_refused(filename_format: str) -> None:
    with pytest.raises(OptionError):
        name(filename_format)


@pytest.mark.shows("nsq_to_file: names of files", better="one that leads out of the output folder is refused")
def test_a_topic_cannot_lead_out_of_the_folder() -> None:
    with pytest.raises(OptionError):
        name("<TOPIC>/<DATETIME>.log", topic="..")


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("%Y-%m-%d_%H", "2026-03-05_18"),
        ("%B %b %A %a", "March Mar Thursday Thu"),
        ("%I:%M:%S %p %y", "06:07:09 PM 26"),
        ("%Z %z", "CET +0100"),
        ("%% %%H %q %", "% %H %q %"),
    ],
)
@pytest.mark.shows("nsq_to_file --datetime-format")
def test_codes_are_those_of_nsq_and_others_are_copied(pattern: str, text: str) -> None:
    assert format_time(pattern, INSTANT) == text


@pytest.mark.parametrize(
    ("identifier", "text"),
    [("", "vm"), ("eu-<SHORT_HOST>", "eu-vm"), ("<HOSTNAME>", "vm.example.org"), ("fixed", "fixed")],
)
@pytest.mark.shows("nsq_to_file --host-identifier")
def test_the_host_may_be_given(identifier: str, text: str) -> None:
    assert host_text(identifier, "vm.example.org") == text
