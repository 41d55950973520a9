"""model_config.h: compiles as strict C11 and C++17, and says what the program says."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from sim.deploy.header import config_header
from sim.deploy.slots import slot_table
from sim.device.board import Board
from sim.errors import CannotFitError
from sim.graph.graph import Graph
from sim.plan.runtime_overhead import required_arena
from sim.program import Program, place
from sim.trace import SPILL
from sim.transfers import transfers
from tests.deploy.material import CARD, NOR, SDRAM, board, chain, spilled, storage

STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
LANGUAGES = {"c": ["gcc", "-std=c11"], "cc": ["g++", "-std=c++17"]}

MAIN = """\
#include "model_config.h"
#include "model_config.h"
#include <stdio.h>
SPILLWAY_ARENA(tensor_arena);
int main(void) {
  tensor_arena[0] = 0;
  printf("aligned %d\\n", (int)((uintptr_t)tensor_arena % SPILLWAY_ARENA_ALIGNMENT));
  printf("arena %u %u %u %u\\n", (unsigned)sizeof tensor_arena, SPILLWAY_ACTIVATION_BYTES,
         SPILLWAY_PERSISTENT_BYTES, SPILLWAY_TEMPORARY_BYTES);
  printf("fits %d %u %u %u\\n", SPILLWAY_FITS, SPILLWAY_ARENA_USABLE_BYTES,
         SPILLWAY_SPILLED_BYTES, SPILLWAY_STOCK_ARENA_BYTES);
  printf("hash %s %s %s\\n", SPILLWAY_MODEL_SHA256, SPILLWAY_SOURCE_SHA256, SPILLWAY_BOARD);
  printf("counts %d %d %d %d %d %d\\n", SPILLWAY_INPUT_COUNT, SPILLWAY_OUTPUT_COUNT,
         SPILLWAY_SLOT_COUNT, SPILLWAY_TRANSFER_COUNT, SPILLWAY_STEP_COUNT,
         SPILLWAY_RESOURCE_VARIABLES);
  for (int i = 0; i < SPILLWAY_INPUT_COUNT + SPILLWAY_OUTPUT_COUNT; i++) {
    const struct spillway_tensor *t = i < SPILLWAY_INPUT_COUNT
        ? &spillway_inputs[i] : &spillway_outputs[i - SPILLWAY_INPUT_COUNT];
    printf("tensor %s %s %u %u %d,%d,%d,%d %.9g %d %d\\n", t->name, t->dtype, t->bytes,
           t->dimensions, t->shape[0], t->shape[1], t->shape[2], t->shape[3], (double)t->scale,
           t->zero_point, t->arena_offset);
  }
  for (int i = 0; i < SPILLWAY_SLOT_COUNT; i++) {
    const struct spillway_slot *s = &spillway_slots[i];
    printf("slot %d %s %u %u %u\\n", (int)s->storage, s->name, s->offset, s->bytes,
           s->reserved_bytes);
  }
  for (int i = 0; i < SPILLWAY_TRANSFER_COUNT; i++) {
    const struct spillway_transfer *t = &spillway_transfers[i];
    printf("transfer %d %u %u %u %d %u\\n", (int)t->kind, t->step, t->slot, t->bytes,
           t->arena_offset, t->done_before);
  }
  return 0;
}
"""


def header(program: Program, host: Board) -> str:
    return config_header(
        program, host, model_sha256="m" * 64, source_sha256="s" * 64, source_name='a "b".tflite'
    )


def compiled(source: str, folder: Path, language: str) -> list[str]:
    """The lines that a program with this header prints."""
    if shutil.which(LANGUAGES[language][0]) is None:
        pytest.skip(f"no {LANGUAGES[language][0]}")
    (folder / "model_config.h").write_text(source)
    file, program = folder / f"main.{language}", folder / "main"
    file.write_text(MAIN)
    subprocess.run([*LANGUAGES[language], *STRICT, str(file), "-o", str(program)], check=True)
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines()


def expected(program: Program, host: Board) -> list[str]:
    """What the program itself says, in the words of MAIN."""
    graph, arena, plan = program.graph, program.arena(), program.plan
    slots, moves = slot_table(program, host), transfers(program)
    size = -(-arena.required // 16) * 16
    spilled_bytes = sum(-(-s.size_bytes // 16) * 16 for s in slots)
    stock = required_arena(graph, head_bytes=arena.activations, variables_in_arena=True)
    assert stock - size in range(spilled_bytes, spilled_bytes + 17)
    names = [s.name for s in slots]
    fits = int(size <= host.largest_usable_bytes)
    lines = [
        "aligned 0",
        f"arena {size} {arena.activations} {arena.persistent} {arena.temporary}",
        f"fits {fits} {host.largest_usable_bytes} {spilled_bytes} {stock}",
        f"hash {'m' * 64} {'s' * 64} testboard",
        f"counts {len(graph.inputs)} {len(graph.outputs)} {len(slots)} {len(moves)} "
        f"{len(graph.ops)} {len(slots)}",
    ]
    for tensor in (graph.tensors[t] for t in (*graph.inputs, *graph.outputs)):
        assert tensor.quantization is not None
        shape = ",".join(map(str, tensor.shape))
        lines.append(
            f"tensor {tensor.name} {tensor.dtype} {tensor.nbytes} 4 {shape} "
            f"{tensor.quantization.scale[0]:.9g} {tensor.quantization.zero_point[0]} "
            f"{plan.offset_of(tensor.id)}"
        )
    for s in slots:
        storage_number = [x.name for x in host.storages].index(s.storage) + 1
        lines.append(
            f"slot {storage_number} {s.name} {s.offset_bytes} {s.size_bytes} {s.reserved_bytes}"
        )
    for m in moves:
        lines.append(
            f"transfer {int(m.kind != SPILL)} {m.step} {names.index(m.slot)} {m.nbytes} "
            f"{plan.offset_of(m.tensor)} {m.done_before}"
        )
    return lines


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("section", ["", ".dtcm_data"])
@pytest.mark.parametrize(
    "graph", [chain(), spilled(hold_until=3), spilled("nor"), spilled("sd-card")],
    ids=["chain", "sdram", "nor", "card"],
)  # fmt: skip
def test_it_compiles_strictly_and_says_what_the_program_says(
    graph: Graph, section: str, language: str, tmp_path: Path
) -> None:
    program, host = place(graph), board(section=section)
    assert compiled(header(program, host), tmp_path, language) == expected(program, host)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_arena_that_does_not_fit_compiles_and_says_so(language: str, tmp_path: Path) -> None:
    program, host = place(spilled()), board(arena_bytes=2048)
    assert program.arena().required > 2048
    lines = compiled(header(program, host), tmp_path, language)
    assert lines == expected(program, host)
    assert lines[2].startswith("fits 0 ")


@pytest.mark.parametrize(
    ("macro", "value", "message"),
    [
        ("ARENA_BYTES", "999999u", "the arena is not a multiple of 16"),
        ("ARENA_BYTES", "16u", "the arena is smaller than its parts"),
        ("ARENA_BYTES", "16777216u", "the arena does not fit its memory"),
        ("STORAGE_SDRAM_USED_BYTES", "16777216u", "the slots do not fit their storage sdram"),
        ("SPILLED_BYTES", "1u", "the slots do not add up"),
    ],
)
def test_a_number_changed_by_hand_stops_the_compiler(
    macro: str, value: str, message: str, tmp_path: Path
) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    lines = header(place(spilled()), board()).splitlines()
    start = f"#define SPILLWAY_{macro} "
    (place_of,) = [i for i, line in enumerate(lines) if line.startswith(start)]
    lines[place_of] = start + value
    (tmp_path / "model_config.h").write_text("\n".join(lines))
    command = ["gcc", "-std=c11", "-fsyntax-only", str(tmp_path / "model_config.h")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert message in done.stderr


def test_names_of_any_kind_compile(tmp_path: Path) -> None:
    graph = spilled("sd-card")
    tensors = list(graph.tensors)
    for number, tensor in enumerate((*graph.inputs, *graph.outputs)):
        tensors[tensor] = replace(tensors[tensor], name=f'*/ "??/\\\n é %d{number}')
    host = board(CARD, storage("sd_card", "sd_spi", 64), storage("none", "uart", 64), NOR, SDRAM)
    source = header(place(replace(graph, tensors=tuple(tensors))), host)
    assert "SPILLWAY_STORAGE_SD_CARD_2 = 2" in source
    assert "SPILLWAY_STORAGE_NONE_2 = 3" in source
    for language in LANGUAGES:
        assert compiled(source, tmp_path, language)[4].startswith("counts 1 1 1 2 ")


def test_the_header_is_the_same_every_time() -> None:
    assert header(place(spilled()), board()) == header(place(spilled()), board())


def test_a_full_storage_is_an_error() -> None:
    with pytest.raises(CannotFitError, match="storage 'sdram'"):
        header(place(spilled()), board(storage("sdram", "sdram", 16)))
