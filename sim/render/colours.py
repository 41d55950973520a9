"""Colours of pictures, the same in all of them and told apart by the colour-blind."""

from __future__ import annotations

from sim import memory_map, trace

BLOCKS = {
    memory_map.INPUT: "#0077bb",
    memory_map.OUTPUT: "#009988",
    memory_map.COMPUTED: "#7fc4e8",
    memory_map.KEPT: "#8c7ae6",
    memory_map.COPIED: "#b9c4cc",
    memory_map.SPILLED: "#cc3311",
    memory_map.FETCHED: "#ee7733",
    memory_map.SCRATCH: "#ddcc77",
    memory_map.VARIABLE: "#aa4499",
    memory_map.UNUSED: "#e4e4e4",
}
"""By what a block of the arena holds."""

RUNTIME, BUDGET, PEAK, IN_USE = "#8a8f98", "#b00020", "#1a1a2e", "#444b5a"

WORK = {
    trace.COMPUTE: "#7fc4e8",
    trace.COPY: "#b9c4cc",
    trace.SPILL: "#ee99aa",
    trace.FETCH: "#ee7733",
    trace.BY_OTHERS[trace.SPILL]: "#c4a5e0",
    trace.BY_OTHERS[trace.FETCH]: "#55aabb",
    trace.ERASE: "#997700",
    trace.TASK: "#bbcc33",
    trace.FILL: "#0077bb",
    trace.CARRY: "#99ddcc",
}
"""By the word for a span's kind."""

STALLS = {
    trace.FETCH_NOT_DONE: "#cc3311",
    trace.WINDOW_NOT_DRAINED: "#882255",
    trace.STORAGE_BUSY: "#ee3377",
    trace.SHARED: "#aa4499",
    trace.ERASING: "#664400",
    trace.BUS: "#4b2e83",
    trace.FLASH_WAIT: "#8b4513",
    trace.PREEMPTED: "#555555",
    trace.LINK_RETRY: "#bb5566",
    trace.LINK_ASLEEP: "#222255",
}
"""By cause."""

FAILURES = {
    trace.SPILL: "#5c1010",
    trace.FETCH: "#000000",
    trace.BY_OTHERS[trace.SPILL]: "#7a4a00",
    trace.BY_OTHERS[trace.FETCH]: "#3d3d00",
}
"""Transfers whose bytes came to harm, likewise."""

FATES = {"done": "#009988", "lost": "#b00020"}
"""Frames by whether they have a result."""
