"""Reads a report in a browser as a person does: looks, hovers, zooms, clicks and searches."""

from __future__ import annotations

from typing import Any

import pytest


def read_report(page: Any, peak_bytes: int) -> None:
    """Fails where the peak is another one, or hover, zoom, click or search don't work."""
    reads_the_map(page, peak_bytes)
    hovers_and_zooms(page)
    clicks_a_frame(page)
    searches(page)


def reads_the_map(page: Any, peak_bytes: int, far: str = "") -> None:
    """The highest box that is drawn, the label at the peak and the text are one number.

    The blocks take a quarter of the height or more; `far` is told to lie above.
    """
    assert page.get_attribute("#map", "data-peak") == str(peak_bytes)
    drawn = page.evaluate(
        """() => figures.map.renderers
        .filter((r) => r.glyph.type === "Quad")
        .map((r) => ({ tops: [...r.data_source.data.top], texts: r.data_source.data.text }))"""
    )
    own = [layer for layer in drawn if "runtime's own" in layer["texts"][-1]]
    blocks = [layer for layer in drawn if layer not in own]
    assert max(top for layer in blocks for top in layer["tops"][1:]) == peak_bytes
    labels = page.evaluate("figures.map.center.map((c) => c.text).filter((text) => text)")
    assert labels == [f"peak {peak_bytes:,} B"]
    assert page.evaluate("figures.map.title?.text || ''") == (f"far above: {far}" if far else "")
    assert page.inner_text("#peak").startswith(f"The peak: {peak_bytes:,} B at op ")
    assert page.locator("#alive li").count() > 0
    assert peak_bytes > page.evaluate("figures.map.y_range.end") / 4


PLACE = """([name, x, y]) => {
    const view = Bokeh.index.get_by_id(figures[name].id);
    const box = view.el.getBoundingClientRect();
    return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)];
}"""
RANGE = "(name) => [figures[name].x_range.start, figures[name].x_range.end]"


def stays_inside(page: Any, tip: Any) -> None:
    box = tip.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= page.viewport_size["width"]


def hovers_and_zooms(page: Any) -> None:
    """Over a block stands its name and bytes; a drag over the plot shows a part of the steps."""
    step, low, high, name = page.evaluate(
        """() => { const [n, k, low, high, first, stop] = data.maps.shown[0].blocks
        .reduce((a, b) => ((b[3] - b[2]) * (b[5] - b[4]) > (a[3] - a[2]) * (a[5] - a[4]) ? b : a));
        return [(first + stop - 1) / 2, low, high, n]; }"""
    )
    page.mouse.move(*page.evaluate(PLACE, ["map", step, (low + high) / 2]))
    told = page.locator(".bk-tooltip-content").first
    told.wait_for()
    assert name in told.text_content() and f"bytes {low:,} to {high:,}" in told.text_content()
    stays_inside(page, told)
    drag(page, "map")


def drag(page: Any, name: str) -> None:
    """Over the middle third of a plot: just that is then in view."""
    page.locator(f"#{name}").scroll_into_view_if_needed()
    start, end = page.evaluate(RANGE, name)
    bottom, top = page.evaluate(f"[figures.{name}.y_range.start, figures.{name}.y_range.end]")
    third, edge = (end - start) / 3, 0.1 * (top - bottom)
    page.mouse.move(*page.evaluate(PLACE, [name, start + third, top - edge]))
    page.mouse.down()
    page.mouse.move(*page.evaluate(PLACE, [name, end - third, bottom + edge]), steps=8)
    page.mouse.up()
    page.wait_for_timeout(300)
    found = page.evaluate(RANGE, name)
    assert found == pytest.approx([start + third, end - third], abs=third / 20)
    page.mouse.dblclick(*page.evaluate(PLACE, [name, (start + end) / 2, (bottom + top) / 2]))
    page.wait_for_timeout(400)
    assert page.evaluate(RANGE, name) != found


def clicks_a_frame(page: Any) -> None:
    """A click on a frame shows its time below, where a drag shows a part of it."""
    page.click("#all-frames")
    whole = page.evaluate(RANGE, "lanes")
    page.locator("#frames").scroll_into_view_if_needed()
    number, height = page.evaluate(
        "() => { const f = data.timeline.frames.filter((f) => !f[4]).at(-1);"
        "return [f[0], (f[3] - f[1]) / 2]; }"
    )
    page.mouse.click(*page.evaluate(PLACE, ["frames", number, height]))
    page.wait_for_timeout(300)
    frame = page.evaluate(RANGE, "lanes")
    assert frame[1] - frame[0] < whole[1] - whole[0]
    drag(page, "lanes")
    shown = page.evaluate(
        "figures.lanes.renderers.filter((r) => r.glyph.type === 'Quad')"
        ".reduce((sum, r) => sum + r.data_source.data.left.length - 1, 0)"
    )
    assert shown > 0


def searches(page: Any) -> None:
    rows = page.locator("#sources tbody tr").count()
    assert page.inner_text("#found").startswith(f"{rows} constants, ")
    page.fill("#search", "core.clock")
    assert page.locator("#sources tbody tr:visible").count() == 1
    assert page.inner_text("#found") == "1 constants, 0 of them assumed"
