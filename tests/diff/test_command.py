"""Two results side by side: what is asked, which policies match, what people and programs see."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from sim.cli import main
from sim.diff.difference import diff
from sim.diff.read import read_result
from sim.graph.tflite_writer import write
from sim.result import SCHEMA_VERSION
from sim.trace import QUEUE_FULL
from tests.diff.results import Values, adds_up, entry, failed, fate, result, saved, shown, told
from tests.graphs import unet

BOARD = "arduino_portenta_h7"
FAST = entry("fast")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of one model: `wide` and `narrow` are budgets, `small` asks for the least arena."""
    made = tmp_path_factory.mktemp("results")
    write(unet(16, 24, (4, 8, 16)), made / "unet.tflite")
    asked = {
        "wide": ["--policy", "baseline", "plan", "spill"],
        "narrow": ["--policy", "plan", "spill", "--sram", "{fewer}B"],
        "small": ["--policy", "plan", "spill", "--minimize", "activations"],
        "twice": ["--policy", "spill(storage=sd)", "spill(window=0)", "--sram", "{fewer}B"],
        "broken": ["--policy", "plan", "spill(storage=psram)"],
        "tight": ["--policy", "plan", "spill", "--sram", "1KiB"],
    }
    fewer = 0
    for name, options in asked.items():
        words = [word.format(fewer=fewer) for word in options]
        with redirect_stdout(io.StringIO()) as out:
            main(["compare", str(made / "unet.tflite"), "--board", BOARD, "--json", *words])
        (made / f"{name}.json").write_text(out.getvalue())
        fewer = fewer or json.loads(out.getvalue())["results"][1]["arena_bytes"]["required"] - 16
    return made


def test_the_same_documents_are_told_as_such(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    wide = folder / "wide.json"
    assert "The documents are the same." in shown(capsys, wide, wide)
    found = told(capsys, wide, wide)
    assert found["identical"] is True
    assert found["winner"]["changed"] is False
    lists = ("asked", "policies", "only_in_a", "only_in_b", "verified")
    assert [found[key] for key in lists] == [[]] * len(lists)
    other = json.loads(wide.read_text())
    other["results"][0]["utilisation"] = {}
    copied = saved(tmp_path / "copy.json", other)
    assert "Nothing that is compared differs." in shown(capsys, wide, copied)
    assert told(capsys, wide, copied)["identical"] is False


def test_a_winner_that_no_longer_fits_is_explained(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    wide, narrow = folder / "wide.json", folder / "narrow.json"
    found = told(capsys, wide, narrow)
    budgets = [json.loads(path.read_text())["board"]["sram_bytes"] for path in (wide, narrow)]
    assert {"name": "board.sram_bytes", "a": budgets[0], "b": budgets[1]} in found["asked"]
    assert len(found["asked"]) == 1
    assert [pair["b"]["label"] for pair in found["policies"]] == ["plan", "spill"]
    assert found["winner"]["setting"] == []  # of another policy, all of it is
    assert (found["winner"]["a"]["label"], found["winner"]["b"]["label"]) == ("plan", "spill")
    why, why_not_before = found["winner"]["reasons"]
    assert (why["document"], why["policy"], why["kind"]) == ("b", "plan", "over_budget")
    assert (why["figure"], why["found"], why["against"]) == (
        "arena_bytes", budgets[1] + 16, budgets[1],
    )  # fmt: skip
    assert (why_not_before["document"], why_not_before["policy"]) == ("a", "spill")
    assert why_not_before["kind"] == "equal"  # a spill of nothing
    text = shown(capsys, wide, narrow)
    assert f"it needs {budgets[1] + 16:,} B, the budget is {budgets[1]:,} B." in text
    assert "plan wins in A, spill in B; least latency." in text
    assert "fits in A, does not fit in B" in text
    assert "Only in A: baseline." in text


def test_the_other_way_round_the_changes_are_the_opposite(folder: Path) -> None:
    a, b = (read_result(folder / f"{name}.json") for name in ("wide", "narrow"))
    there, back = diff(a, b), diff(b, a)
    assert there.only_a == back.only_b and there.only_b == back.only_a
    for one, other in zip(there.pairs, back.pairs, strict=True):
        assert [f.change for f in one.figures] == [-f.change for f in other.figures]


def test_parts_of_real_results_add_up(folder: Path) -> None:
    documents = [read_result(path) for path in sorted(folder.glob("*.json"))]
    split = set()
    for a in documents:
        for b in documents:
            found = diff(a, b)
            for pair in (found.winners, *found.pairs):
                for figure in pair.figures:
                    adds_up(figure)
                    split |= {figure.name} if figure.parts else set()
    assert {"arena_bytes", "latency_mean_ps", "stall_ps", "moved_bytes"} <= split


def test_another_goal_makes_another_winner(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    found = told(capsys, folder / "wide.json", folder / "small.json")
    assert {"name": "goal.minimize", "a": "latency", "b": "activations"} in found["asked"]
    why, _ = found["winner"]["reasons"]
    assert (why["kind"], why["figure"]) == ("worse", "activations_bytes")
    assert why["found"] > why["against"]
    text = shown(capsys, folder / "wide.json", folder / "small.json")
    assert "least latency in A, activations in B" in text


def test_a_policy_that_chose_another_setting_is_still_the_same(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    found = told(capsys, folder / "wide.json", folder / "narrow.json")
    spill = next(pair for pair in found["policies"] if pair["b"]["label"] == "spill")
    (setting,) = spill["setting"]
    assert setting["name"] == "target" and setting["a"] != setting["b"]
    text = shown(capsys, folder / "wide.json", folder / "narrow.json")
    assert f"spill, target {setting['a']} -> {setting['b']}" in text


def spill(**params: Any) -> Values:
    return entry("spill", params=params)


def test_of_several_settings_those_match_that_are_most_alike() -> None:
    a = result(spill(storage="sd", target=9), spill(storage="ram", target=9), entry("plan"))
    b = result(spill(storage="ram", target=5), entry("plan"), spill(storage="sd", target=5))
    found = diff(a, b)
    labels = [(pair.a.label, pair.b.label) for pair in found.pairs]
    both = [(f"spill(storage={name})",) * 2 for name in ("sd", "ram")]
    assert labels == [*both, ("plan", "plan")]
    assert [c.name for pair in found.pairs for c in pair.setting] == ["target", "target"]
    assert not found.only_a and not found.only_b


def test_settings_that_are_as_like_each_other_as_a_third_do_not_match() -> None:
    found = diff(result(spill(window=1)), result(spill(window=2), spill(window=3)))
    assert found.pairs == ()
    assert [side.label for side in found.only_a] == ["spill(window=1)"]
    assert [side.label for side in found.only_b] == ["spill(window=2)", "spill(window=3)"]


def test_a_parameter_that_was_left_open_is_no_part_of_a_label() -> None:
    both = spill(storage="sd", window=None), spill(storage="sd", window=0)
    found = diff(result(*both), result(*both))
    assert [pair.a.label for pair in found.pairs] == ["spill", "spill(window=0)"]


def test_a_long_setting_is_cut_for_people(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    a = saved(tmp_path / "a.json", result(spill(stages=list(range(9)))))
    b = saved(tmp_path / "b.json", result(spill(stages=list(range(99)))))
    cut = "[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,1…"
    assert f"spill, stages [0,1,2,3,4,5,6,7,8] -> {cut}" in shown(capsys, a, b).replace("\n", " ")
    assert told(capsys, a, b)["winner"]["setting"][0]["b"] == list(range(99))


def test_equal_entries_match_one_by_one() -> None:
    found = diff(result(entry("plan"), entry("plan")), result(entry("plan"), entry("plan")))
    assert len(found.pairs) == 2
    assert found.empty


def test_what_is_verified_in_one_and_not_in_the_other(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    paths = []
    for name, proven in (("a", True), ("b", False)):
        (tmp_path / name).mkdir()
        document = result(FAST) | {"deploy": {"model": name, "verified": {"tflm": proven}}}
        saved(tmp_path / name / "result.json", document)
        paths.append(tmp_path / name)
    assert told(capsys, *paths)["verified"] == [{"name": "tflm", "a": True, "b": False}]
    assert "Verified" in shown(capsys, *paths)


def test_frames_are_asked_for_and_losses_are_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    few = entry("plan", 5_000_000, frames={"core": fate(10)})
    many = entry("plan", 5_000_000, frames={"core": fate(17, 2, queue_full=3)})
    a, b = saved(tmp_path / "a.json", result(few)), saved(tmp_path / "b.json", result(many))
    assert told(capsys, a, b)["asked"] == [{"name": "frames", "a": 10, "b": 20}]
    text = shown(capsys, a, b)
    assert f"lost frames 0 -> 3, all of it {QUEUE_FULL}" in text
    assert "late frames 0 -> 2" in text


def test_a_little_is_only_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """But for the winner, of which everything is told."""
    first = [entry(name, 100_000) for name in ("best", "plan", "spill", "same")]
    second = [entry("best", 100_001), entry("plan", 100_999), entry("spill", 101_000), first[3]]
    paths = [saved(tmp_path / f"{n}.json", result(*e)) for n, e in enumerate((first, second))]
    text = shown(capsys, *paths)
    assert "Changed by less than 1 %: plan." in text
    assert "As before: same." in text
    assert "\nbest\n  mean latency 100 ns, +1 ps (+0.0 %), all of it computing\n" in text
    assert "\nspill\n  mean latency 100 ns -> 101 ns (+1.0 %), all of it computing\n" in text


def test_small_parts_are_told_as_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    stalls = {"preempted": 5.0, "bus": 0.000001, "erasing": 0.000002}
    paths = []
    for name, causes in (("a", ()), ("b", ("preempted", "bus")), ("c", stalls)):
        waits = {cause: stalls[cause] for cause in causes}
        us = 0.001 + sum(waits.values())
        times = {"mean": us, "p99": us}
        run = FAST | {"latency_us": times, "inference_us": times, "stall_us": waits}
        paths.append(saved(tmp_path / f"{name}.json", result(run)))
    assert "preempted +5 us, bus +1 ps\n" in shown(capsys, paths[0], paths[1])
    assert "preempted +5 us, others +3 ps\n" in shown(capsys, paths[0], paths[2])


def test_what_people_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the mean latency tells is not told again; no line ends within a part."""
    monkeypatch.chdir(tmp_path)
    waiting = {
        "latency_us": {"mean": 1250.0, "p99": 1250.0},
        "inference_us": {"mean": 1250.0},
        "stall_us": {"total": 250.0, "spill_window_not_drained": 150.0, "fetch_not_done": 100.0},
        "moved_bytes": {"sd": {"read": 512, "written": 1024}},
        "arena_bytes": {
            "activations": 1000, "persistent": 4008, "temporary": 4, "required": 5012,
        },
    }  # fmt: skip
    plan = entry("plan", 1_000_000_000, 8000, frame_uj=1500.0)
    spill = entry("spill", 1_200_000_000, 6000, frame_uj=1600.0)
    first = result(plan, spill | {"params": {"window": 2}}, budget=9000)
    other = result(plan | {"fits": False}, spill | waiting, winner=1, budget=7000)
    saved(tmp_path / "a.json", first | {"model": {"sha256": "0" * 64}})
    saved(tmp_path / "b.json", other | {"model": {"sha256": "1" * 64}})
    text = shown(capsys, Path("a.json"), Path("b.json"))
    assert [line.rstrip() for line in text.splitlines()] == WHAT_PEOPLE_READ.splitlines()


WHAT_PEOPLE_READ = """\
A  a.json
B  b.json
                  A             B
model sha256      000000000000  111111111111
board sram bytes  9,000         7,000

plan wins in A, spill in B; least latency.
plan does not fit in B: it needs 8,000 B, the budget is 7,000 B.
spill fits in A; its mean latency is 1.2 ms, 200 us more than plan's.
From plan in A to spill in B:
  arena 8,000 B -> 5,012 B (-37.4 %): activations -7,000 B, persistent +4,008 B,
    temporary +4 B
  mean latency 1 ms -> 1.2 ms (+25.0 %): spill window not drained +150 us,
    fetch not done +100 us
  moved a frame 0 B -> 1,536 B: sd written +1,024 B, sd read +512 B
  energy a frame 1.5 mJ -> 1.6 mJ (+6.7 %)

   policy arena A arena B  change latency A latency B change
A  plan     8,000   8,000              1 ms      1 ms
B  spill    6,000   5,012 -16.5 %    1.2 ms    1.2 ms +4.2 %
A, B: wins there

plan
  fits in A, does not fit in B

spill, window 2 -> none
  arena 6,000 B -> 5,012 B (-16.5 %): activations -5,000 B, persistent +4,008 B,
    temporary +4 B
  mean latency 1.2 ms, +50 us (+4.2 %): computing -200 us,
    spill window not drained +150 us, fetch not done +100 us
  moved a frame 0 B -> 1,536 B: sd written +1,024 B, sd read +512 B
"""


def test_every_pair_of_results_is_good_at_80_columns(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    """Long names and settings, huge figures and other models' losses among them."""
    stages = [[n, n + 1, 2, 8, True, 0] for n in range(20)]
    entries = [
        spill(storage="sd", stages=stages), spill(storage="ram", stages=stages[1:]),
        entry("reorder+split+fused_fetch+stream+spill", 10**15, 10**9),
        failed("patch", "op 12 CONV_2D: found a stride of (3, 3), wanted one that divides " * 3),
    ]  # fmt: skip
    wild = saved(tmp_path / ("long_" * 20 + ".json"), result(*entries))
    other = result(*(e | {"params": {**e["params"], "stages": []}} for e in entries), winner=2)
    other["results"][3] = entry("patch", 7, params={"stages": [0]})
    other["results"][2]["frames"]["a_gate_before_it"] = fate(deadline_passed=10**7)
    paths = [*sorted(folder.glob("*.json")), wild, saved(tmp_path / "other.json", other)]
    for a in paths:
        for b in paths:
            assert shown(capsys, a, b)


def test_the_document_is_the_same_every_time(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    wide, twice = folder / "wide.json", folder / "twice.json"
    assert main(["diff", str(wide), str(twice), "--json"]) == 0
    first = capsys.readouterr().out
    assert main(["diff", str(wide), str(twice), "--json"]) == 0
    assert capsys.readouterr().out == first
    found = json.loads(first)
    assert (found["schema_version"], found["a"]) == (SCHEMA_VERSION, str(wide))
    assert list(found) == [
        "schema_version", "a", "b", "identical", "asked", "winner", "policies", "only_in_a",
        "only_in_b", "verified",
    ]  # fmt: skip
    for pair in (found["winner"], *found["policies"]):
        for figure in pair["figures"].values():
            assert figure["change"] == figure["b"] - figure["a"]
            parts = figure["parts"].values()
            assert not parts or sum(part["change"] for part in parts) == figure["change"]


def test_a_policy_that_could_not_be_applied(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    text = shown(capsys, folder / "narrow.json", folder / "broken.json")
    assert "could not be applied in B: " in text
    assert "plan fits" not in text
    assert "In A" not in text and "does not fit in A, fits in B" in text


def test_where_nothing_fits(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    text = shown(capsys, folder / "wide.json", folder / "tight.json")
    assert "Nothing fits in B." in text
    asked = told(capsys, folder / "wide.json", folder / "tight.json")["asked"]
    assert [entry["name"] for entry in asked] == ["board.sram_bytes"]


def test_a_front_is_no_result(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    model, asked = str(folder / "unet.tflite"), ["--policy", "plan", "--front", "--json"]
    assert main(["compare", model, "--board", BOARD, *asked]) == 0
    path = saved(folder / "front.txt", capsys.readouterr().out)
    assert main(["diff", str(path), str(path)]) == 2
    assert "results: found 'nothing', wanted a list of policies" in capsys.readouterr().err
