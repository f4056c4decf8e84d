from millstream.engine.consumer import Consumer


def test_a_consumer_takes_nothing_before_it_says_ready() -> None:
    assert Consumer(1, 60).room() == 0


def test_room_is_what_rdy_leaves_beside_what_is_in_flight() -> None:
    consumer = Consumer(1, 60)
    consumer.ready_count = 5
    consumer.in_flight = 3

    assert consumer.room() == 2


def test_lowering_rdy_below_what_is_in_flight_just_stops_deliveries() -> None:
    consumer = Consumer(1, 60)
    consumer.ready_count = 1
    consumer.in_flight = 3

    assert consumer.room() == 0


def test_a_socket_that_takes_no_more_gets_no_more() -> None:
    consumer = Consumer(1, 60)
    consumer.ready_count = 5
    consumer.is_blocked = True

    assert consumer.room() == 0
