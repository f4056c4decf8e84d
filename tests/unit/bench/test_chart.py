"""The chart is an SVG with two bars for each workload that has both figures."""

from xml.etree import ElementTree as ET

from millstream.bench.chart import draw, ratios
from millstream.bench.contenders import OURS, PEER
from millstream.bench.outcome import CPU, HEAP, RATE

FOUND = {
    "mpub": {OURS: {RATE: 300.0, CPU: 0.5}, PEER: {RATE: 100.0, CPU: 2.0}},
    "queued": {OURS: {HEAP: 1.0}, PEER: {HEAP: 2.0}},
    "client-async": {OURS: {RATE: 300.0, CPU: 0.5}, PEER: {RATE: 100.0, CPU: 2.0}},
}


def test_ratios_say_how_many_times_better_ours_is() -> None:
    assert ratios(FOUND) == {"mpub": {RATE: 3.0, CPU: 4.0}}


def test_what_lies_beyond_the_scale_is_drawn_at_its_end() -> None:
    document = ET.fromstring(draw({"a<b": {RATE: 1000.0, CPU: 0.001}}))

    width = float(document.attrib["width"])
    bars = [element for element in document.iter() if element.tag.endswith("rect")]
    assert all(float(bar.get("x", "0")) + float(bar.get("width", "0")) <= width for bar in bars)
    assert "a<b" in "".join(document.itertext())
