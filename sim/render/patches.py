"""What people see of a first stage in patches: cuts worth a look, and the best one's kernels."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.patches import Cut, Patches, kernels, redistribution, worth_a_look
from sim.render.tables import WINNER, console, grouped

MOST_KERNELS = 8

LEGEND = (
    ("field", "receptive field of an output pixel of the stage"),
    ("MACs", "of the stage with all halos, as a multiple of those without"),
    ("model", "what the halos add to the MACs of the whole model"),
    ("whole B", "peak of the stage without patches: activations, no scratch"),
    ("patch B", "peak in patches, if the image arrives patch by patch"),
    ("+image B", "peak in patches, with the whole image in the arena"),
    ("rest B", "peak outside the stage, which patches leave as it is"),
    ("1x1", "MACs again, if the stage's kernels of stride 1 were 1x1"),
)


def show_patches(found: Patches, path: str) -> None:
    """The cuts that nothing beats, what makes the best one's halo, and what could be done."""
    out = console()
    out.print(Text(path, style="bold"))
    out.print(f"{len(found.graph.ops)} ops, {grouped(found.macs)} MACs", style="dim")
    if not found.cuts:
        out.print(
            "No first stage can run in patches: that takes convolutions, pools and element-wise "
            "ops whose tensors nobody else reads."
        )
        return
    shown = [cut for cut in worth_a_look(found.cuts) if not cut.is_whole]
    out.print(
        f"Without patches {grouped(found.peak_bytes)} B of activations are alive at the peak; the "
        f"longest stage is ops {_ops(found.cuts[-1])}."
    )
    if not shown:
        out.print("No stage in patches makes it smaller.")
        return
    out.print(_cuts(found, shown))
    for name, meaning in LEGEND:
        out.print(f"{name:9} {meaning}", style="dim")
    hidden = sum(not cut.is_whole for cut in found.cuts) - len(shown)
    if hidden:
        out.print(f"{hidden} more cuts that these beat are in --json.", style="dim")
    if found.best is None:
        out.print("\nWith the whole image in the arena no stage in patches makes it smaller.")
        return
    _show_best(out, found, found.best)


def _cuts(found: Patches, shown: list[Cut]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("", width=1)
    for name in ("ops", "field", "grid"):
        table.add_column(name, no_wrap=True)
    for name in ("MACs", "model", "whole B", "patch B", "+image B", "rest B", "1x1"):
        table.add_column(name, justify="right", no_wrap=True)
    for cut in shown:
        table.add_row(*_row(found, cut), style="bold" if cut is found.best else "")
    return table


def _row(found: Patches, cut: Cut) -> tuple[str, ...]:
    stage, bytes_ = cut.stage, cut.now.bytes
    return (
        WINNER if cut is found.best else "",
        _ops(cut),
        _by(redistribution(stage).before.size),
        _by((cut.grid.rows, cut.grid.columns)),
        f"{cut.now.overhead:.2f}",
        f"{100 * cut.now.halo_macs / found.macs:+.1f} %" if found.macs else "",
        grouped(found.whole(cut).now.bytes.image_whole),
        grouped(bytes_.image_by_patch),
        grouped(bytes_.image_whole),
        grouped(stage.rest_bytes),
        f"{cut.redistributed.overhead:.2f}",
    )


def _ops(cut: Cut) -> str:
    return f"{cut.stage.steps.start}..{cut.stage.steps.stop - 1}"


def _by(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))


def _show_best(out: Console, found: Patches, cut: Cut) -> None:
    shape = found.graph.tensors[cut.stage.output].shape
    out.print(
        f"\n{WINNER} has the least peak with the whole image in the arena: ops {_ops(cut)}, output "
        f"{_by(shape[1:])}, in {_by((cut.grid.rows, cut.grid.columns))} patches. "
        f"Of its MACs {grouped(cut.now.halo_macs)} are halo."
    )
    listed = [kernel for kernel in kernels(cut) if kernel.halo_macs > 0]
    if listed:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("op", justify="right")
        for name in ("kind", "kernel", "stride"):
            table.add_column(name, no_wrap=True)
        for name in ("its halo MACs", "share"):
            table.add_column(name, justify="right")
        for kernel in listed[:MOST_KERNELS]:
            table.add_row(
                str(kernel.layer.step),
                kernel.layer.kind,
                _by(kernel.size),
                _by(kernel.stride),
                grouped(kernel.halo_macs),
                f"{100 * kernel.halo_macs / cut.now.halo_macs:.0f} %",
            )
        out.print(table)
    out.print(_redistribution(cut))


def _redistribution(cut: Cut) -> str:
    moved = redistribution(cut.stage)
    if not moved.ops:
        return "There is nothing to redistribute: no kernel of the stage has stride 1."
    ops = f"{'op' if len(moved.ops) == 1 else 'ops'} {', '.join(map(str, moved.ops))}"
    now, then = cut.now, cut.redistributed
    return (
        "Its halo MACs are those that would vanish if the kernel did not overlap itself; kernels "
        "share some.\n"
        f"Redistributed, with 1x1 kernels in {ops}: field {_by(moved.before.size)} to "
        f"{_by(moved.after.size)}, MACs {now.overhead:.2f} to {then.overhead:.2f}, peak "
        f"{grouped(now.bytes.image_whole)} B to {grouped(then.bytes.image_whole)} B. Kernels "
        f"behind the stage that grow by {_by(moved.growth)} in all (3x3 to 5x5 is 2x2) win the "
        "field back."
    )
