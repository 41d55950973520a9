// The memory map: a rectangle for each range of bytes, as long as it is in use.

const RECTANGLES_MAX = 6000; // of those in view, the largest; zooming in brings the rest
const MAP_HEIGHT = 470;
const EDGE = 1; // pixels around a block, less where it is thin

// The largest of the blocks that are in view.
function inView(blocks, x, y) {
  const found = blocks.filter(
    ([, , from, to, first, stop]) =>
      stop - 0.5 > x.start && first - 0.5 < x.end && to > y.start && from < y.end,
  );
  if (found.length <= RECTANGLES_MAX) return found;
  const area = ([, , from, to, first, stop]) => (to - from) * (stop - first);
  return found.sort((a, b) => area(b) - area(a)).slice(0, RECTANGLES_MAX);
}

function stepName(map, step) {
  const found = map.steps[step - map.first_step];
  if (!found) return "the end";
  const kind = map.op_kinds[found[0]];
  return step < 0 ? kind : `${map.word} ${step} ${kind}`;
}

function blockText(map, [name, kind, from, to, first, stop, own]) {
  const until = stop - 1 > first ? ` to ${stepName(map, stop - 1)}` : "";
  return (
    `<b>${escaped(name)}</b><br>${data.maps.kinds[kind].name}, ${bytes(own)}<br>` +
    `bytes ${count(from)} to ${count(to)}<br>${stepName(map, first)}${until}`
  );
}

function fillMap(map, { layers, shared, names }, made) {
  const { x_range: x, y_range: y } = made;
  const shown = inView(map.blocks, x, y);
  const pixel_x = (x.end - x.start) / Math.max(300, element("map").clientWidth - 110);
  const pixel_y = (y.end - y.start) / (MAP_HEIGHT - 90);
  const texts = [];
  data.maps.kinds.forEach((kind, number) => {
    const rows = shown
      .filter((block) => block[1] === number)
      .map((b) => [b[4] - 0.5, b[5] - 0.5, b[2], b[3], blockText(map, b), b[0]]);
    const edge = ([left, right, bottom, top]) =>
      Math.min(EDGE, (right - left) / pixel_x / 6, (top - bottom) / pixel_y / 6);
    layers[number].source.data = { ...boxes(rows), edge: [0, ...rows.map(edge)] };
    texts.push(named(rows, kind.colour, pixel_x, pixel_y));
  });
  const upon = inView(shared.blocks, x, y).map((b) => [b[4] - 0.5, b[5] - 0.5, b[2], b[3], b[0]]);
  shared.source.data = boxes(upon);
  names.data = merged(texts);
}

function markPeak(made, map) {
  const late = map.peak.step > map.first_step + map.steps.length / 2;
  made.scatter({
    x: [map.peak.step], y: [map.peak.bytes], marker: "inverted_triangle", size: 11, color: data.colours.peak,
  });
  made.add_layout(
    new Bokeh.Label({
      x: map.peak.step, y: map.peak.bytes, x_offset: late ? -10 : 10, y_offset: 6,
      text: `peak ${bytes(map.peak.bytes)}`, text_align: late ? "right" : "left", text_font: FONT,
      text_font_size: "13px", text_font_style: "bold", text_color: data.colours.peak,
      background_fill_color: "#fff", background_fill_alpha: 0.8,
    }),
  );
}

// What lies upon each other is told together; looked up once, since views change often.
function withTexts(map) {
  return map.shared.map(([from, to, first, stop]) => {
    const upon = map.blocks.filter((b) => b[2] < to && b[3] > from && b[4] < stop && b[5] > first);
    const text = upon.map((block) => blockText(map, block)).join("<hr>");
    return [`<b>shared</b>, bytes ${count(from)} to ${count(to)}<hr>${text}`, 0, from, to, first, stop];
  });
}

// Where blocks lie upon each other: hatched, as much of it as of the blocks.
function sharedLayer(made) {
  return layer(made, null, {
    line_color: null, hatch_pattern: "right_diagonal_line", hatch_color: INK, hatch_alpha: 0.25,
    hatch_scale: 9, hatch_weight: 1,
  });
}

// What lies so far above the blocks that they would be flat beside it.
function tellFar(made, map) {
  const far = Object.entries(map.far).map(([name, value]) => `${name} ${bytes(value)}`);
  if (!far.length) return;
  made.title = new Bokeh.Title({
    text: `far above: ${far.join(", ")}`, text_font: FONT, text_font_size: "13px",
    text_font_style: "normal", text_color: data.colours.budget,
  });
}

// Lines and the band above the head: what the blocks are measured against.
function drawBounds(made, map) {
  const { colours } = data;
  const first = map.first_step - 0.5;
  const last = first + map.steps.length;
  const own = layer(made, colours.runtime, { fill_alpha: 0.45, line_color: null });
  const text =
    `<b>the runtime's own bytes</b><br>persistent ${bytes(map.persistent)}, ` +
    `temporary ${bytes(map.temporary)}<br>required arena ${bytes(map.required)}`;
  own.source.data = boxes([[first, last, map.head, map.required, text]]);
  const used = made.step({
    x: map.steps.map((_, n) => map.first_step + n), y: map.steps.map((step) => step[1]), mode: "center",
    line_color: colours.in_use, line_width: 1.5, line_dash: [2, 3],
  });
  const budget = made.line({
    x: [first, last], y: [data.maps.budget, data.maps.budget],
    line_color: colours.budget, line_width: 2, line_dash: [7, 4],
  });
  const lines = [["the runtime's own", own.renderer], ["in use", used]];
  return { own, entries: "budget" in map.far ? lines : [...lines, ["budget", budget]] };
}

async function drawMap(index) {
  const map = data.maps.shown[index];
  const made = figure("map", {
    height: MAP_HEIGHT,
    x_range: range(map.first_step - 0.5, map.first_step + map.steps.length - 0.5),
    y_range: range(0, map.height),
    x_label: "step (op)",
    y_label: "bytes of the arena",
  });
  made.xaxis.ticker = whole_ticks();
  made.yaxis.formatter = whole_numbers();
  const edge = { line_width: { field: "edge" } };
  const layers = data.maps.kinds.map((kind) => layer(made, kind.colour, edge));
  const shared = { ...sharedLayer(made), blocks: withTexts(map) };
  const drawn = { layers, shared, names: nameLayer(made) };
  const { own, entries } = drawBounds(made, map);
  markPeak(made, map);
  tellFar(made, map);
  made.add_tools(hover([...layers, own, shared].map((l) => l.renderer)));
  const used = new Set(map.blocks.map((block) => block[1]));
  const kinds = data.maps.kinds.flatMap((kind, n) => (used.has(n) ? [[kind.name, layers[n].renderer]] : []));
  const upon = map.shared.length ? [["shared", shared.renderer]] : [];
  legend(made, [...kinds, ...upon, ...entries]);
  fillMap(map, drawn, made);
  onView(made, () => fillMap(map, drawn, made));
  element("map").replaceChildren();
  await Bokeh.Plotting.show(made, "#map");
  element("map").dataset.peak = map.peak.bytes;
  element("peak").textContent = `The peak: ${map.explained[0]}. In use there:`;
  const lines = map.explained.slice(1).map((line) => {
    const item = document.createElement("li");
    item.textContent = line;
    return item;
  });
  element("alive").replaceChildren(...lines);
}
