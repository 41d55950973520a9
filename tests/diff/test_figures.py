"""What a change is made of: parts that always add up to the whole."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.diff.figures import NEVER_RAN, figures, nanojoules, picoseconds
from sim.trace import CAUSES, LOSSES
from sim.units import microseconds
from tests.diff.results import Values, adds_up, entry, fate

times = st.integers(0, 2**50)
counts = st.integers(0, 10**6)


@st.composite
def entries(draw: st.DrawFn) -> Values:
    """What a run may come to, waits of frames that were lost among it."""
    lost = draw(st.dictionaries(st.sampled_from(LOSSES), st.integers(1, 9), max_size=2))
    stalls = draw(st.dictionaries(st.sampled_from(CAUSES), times, max_size=4))
    inference = draw(times)
    arena = [draw(counts) for _ in range(3)]
    core = fate(draw(st.integers(0, 3)), 0, draw(st.integers(0, 1))) | {"lost": lost}
    return entry(
        "plan",
        arena_bytes=dict(zip(("activations", "persistent", "temporary"), arena, strict=True))
        | {"required": sum(arena)},
        frames={"core": core} | draw(st.just({}) | st.just({"gate": fate(2, queue_full=3)})),
        latency_us={"mean": microseconds(inference + draw(times)), "p99": microseconds(0)},
        inference_us={"mean": microseconds(inference)},
        stall_us={"total": microseconds(sum(stalls.values()))}
        | {cause.replace(" ", "_"): microseconds(ps) for cause, ps in stalls.items()},
        moved_bytes=draw(
            st.dictionaries(
                st.sampled_from(("sd", "sdram")),
                st.fixed_dictionaries({"read": counts, "written": counts}),
            )
        ),
    )


@given(entries(), entries())
def test_parts_always_add_up(a: Values, b: Values) -> None:
    found = {figure.name: figure for figure in figures(a, b)}
    for figure in found.values():
        adds_up(figure)
    whole: dict[str, list[int]] = {
        "arena_bytes": [e["arena_bytes"]["required"] for e in (a, b)],
        "lost_frames": [sum(sum(f["lost"].values()) for f in e["frames"].values()) for e in (a, b)],
    }
    if a["frames"]["core"]["done"] and b["frames"]["core"]["done"]:
        whole["latency_mean_ps"] = [picoseconds(e["latency_us"]["mean"]) for e in (a, b)]
        whole["stall_ps"] = [picoseconds(e["stall_us"]["total"]) for e in (a, b)]
        whole["moved_bytes"] = [
            sum(m["read"] + m["written"] for m in e["moved_bytes"].values()) for e in (a, b)
        ]
    else:
        assert not {"latency_mean_ps", "stall_ps", "moved_bytes", "frame_nj"} & set(found)
    assert {name: [found[name].a, found[name].b] for name in whole} == whole


@given(times)
def test_microseconds_hold_picoseconds(ps: int) -> None:
    assert picoseconds(json.loads(json.dumps(microseconds(ps)))) == ps
    assert nanojoules(json.loads(json.dumps(round(ps / 10**3, 3)))) == ps


def test_a_latency_is_waits_computing_and_the_time_before() -> None:
    a = entry("plan", 10_000)
    b = entry(
        "plan", 17_000, inference_us={"mean": 0.015},
        stall_us={"total": 0.006, "bus": 0.002, "preempted": 0.004},
    )  # fmt: skip
    latency = next(f for f in figures(a, b) if f.name == "latency_mean_ps")
    assert [(part.name, part.change) for part in latency.parts] == [
        ("preempted", 4_000), ("bus", 2_000), ("waiting_to_begin", 2_000), ("computing", -1_000),
    ]  # fmt: skip


@pytest.mark.parametrize("reason", sorted(LOSSES))
def test_waits_of_frames_that_were_lost_on_their_way_are_no_part_of_an_inference(
    reason: str,
) -> None:
    a, b = entry("plan", 1_000), entry("plan", 3_000)
    b["stall_us"] = {"total": 0.002, "bus": 0.002}
    b["frames"] = {"core": fate() | {"lost": {reason: 1}}}
    latency = next(f for f in figures(a, b) if f.name == "latency_mean_ps")
    told = "bus" if reason in NEVER_RAN else "inference"
    assert [part.name for part in latency.parts] == [told]
    b["frames"]["core"] = fate(recomputed=1)
    latency = next(f for f in figures(a, b) if f.name == "latency_mean_ps")
    assert [part.name for part in latency.parts] == ["inference"]


def test_what_is_required_beyond_the_three_kinds_is_a_part_as_well() -> None:
    a, b = entry("plan"), entry("plan")
    b["arena_bytes"]["required"] += 8
    (arena,) = (f for f in figures(a, b) if f.changed)
    assert [(part.name, part.change) for part in arena.parts] == [("other", 8)]
