from millstream.demo.event_id import event_id_of


def test_an_id_is_found_in_any_text() -> None:
    assert event_id_of(b'{"id": "abc", "u": 1}') == "abc"
    assert event_id_of(b'{"a":1,"id":"abc') == '{"a":1,"id":"abc'
    assert event_id_of(b'broken "id":"abc" text') == "abc"


def test_a_text_without_an_id_is_its_own() -> None:
    assert event_id_of(b"\xffplain") == "\ufffdplain"
