"use strict";
// Draws the report's pictures from the data that the page holds. Nothing is loaded from anywhere.

const data = JSON.parse(document.getElementById("data").textContent);
const count = (n) => Math.round(n).toLocaleString("en-US");
const bytes = (n) => `${count(n)} B`;
const ms = (t) => (t >= 1 ? `${+t.toPrecision(5)} ms` : `${+(t * 1e3).toPrecision(5)} us`);
const escaped = (text) =>
  text.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);
const element = (name) => document.getElementById(name);
const FONT = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
const INK = "#1a1a2e";

// The figures by the name of their element; tests look here too.
const figures = {};

// ---- what all figures share

function figure(name, { dimensions = "both", x_label = null, y_label = null, ...options }) {
  const made = Bokeh.Plotting.figure({
    sizing_mode: "stretch_width",
    tools: [],
    outline_line_color: null,
    ...options,
  });
  const zoom = new Bokeh.BoxZoomTool({ dimensions });
  made.add_tools(
    zoom,
    new Bokeh.PanTool({ dimensions }),
    new Bokeh.WheelZoomTool({ dimensions }),
    new Bokeh.ResetTool(),
    new Bokeh.SaveTool({ filename: name }),
  );
  made.toolbar.logo = null;
  made.toolbar.active_drag = zoom;
  for (const [axis, label] of [[made.xaxis, x_label], [made.yaxis, y_label]]) {
    Object.assign(axis, {
      axis_label: label,
      axis_label_text_font: FONT,
      axis_label_text_font_style: "normal",
      major_label_text_font: FONT,
      axis_line_color: "#bcc4ce",
      minor_tick_line_color: null,
    });
  }
  made.xgrid.grid_line_color = "#f0f2f5";
  made.ygrid.grid_line_color = "#e8ebef";
  figures[name] = made;
  return made;
}

const range = (start, end) => new Bokeh.Range1d({ start, end });
const whole_numbers = () => new Bokeh.NumeralTickFormatter({ format: "0,0" });
const hover = (renderers) =>
  new Bokeh.HoverTool({ renderers, tooltips: "<div>@text{safe}</div>", point_policy: "follow_mouse" });

function legend(made, entries) {
  const items = entries.map(
    ([label, ...renderers]) => new Bokeh.LegendItem({ label, renderers }),
  );
  const added = new Bokeh.Legend({
    items,
    orientation: "horizontal",
    click_policy: "hide",
    border_line_color: null,
    label_text_font: FONT,
    label_text_font_size: "12px",
    spacing: 10,
    padding: 2,
    margin: 2,
    ncols: 12,
  });
  made.add_layout(added, "above");
}

// Rectangles of one colour: a source that can be filled anew, and what draws it.
function layer(made, colour, options = {}) {
  const source = new Bokeh.ColumnDataSource({ data: boxes([]) });
  const [left, right, bottom, top] = ["left", "right", "bottom", "top"].map((field) => ({ field }));
  const renderer = made.quad({
    left, right, bottom, top, source, fill_color: colour, line_color: "#fff", line_width: 0.5, ...options,
  });
  return { source, renderer, colour };
}

// Boxes as [left, right, bottom, top, text] become columns. The first is nowhere: a legend shows it
// where nothing of a colour is in view.
function boxes(rows) {
  const column = (n) => [n === 4 ? "" : NaN, ...rows.map((row) => row[n])];
  return { left: column(0), right: column(1), bottom: column(2), top: column(3), text: column(4) };
}

// Names inside of those boxes that have the room for them.
function nameLayer(made) {
  const source = new Bokeh.ColumnDataSource({ data: { x: [], y: [], name: [], colour: [] } });
  made.text({
    x: { field: "x" }, y: { field: "y" }, text: { field: "name" }, text_color: { field: "colour" }, source,
    text_align: "center", text_baseline: "middle", text_font: FONT, text_font_size: "11px",
  });
  return source;
}

const CHARACTER = 6.6; // pixels, on the average
const LINE = 14;
const DARK = new Set(["#0077bb", "#009988", "#cc3311", "#8c7ae6", "#aa4499", "#882255", "#555555"]);

function named(rows, colour, pixel_x, pixel_y) {
  const found = { x: [], y: [], name: [], colour: [] };
  for (const [left, right, bottom, top, , name] of rows) {
    const room = (right - left) / pixel_x - 12;
    if (!name || (top - bottom) / pixel_y < LINE || room < CHARACTER * name.length) continue;
    found.x.push((left + right) / 2);
    found.y.push((bottom + top) / 2);
    found.name.push(name);
    found.colour.push(DARK.has(colour) ? "#fff" : INK);
  }
  return found;
}

function merged(columns) {
  const found = { x: [], y: [], name: [], colour: [] };
  for (const part of columns) {
    for (const key of Object.keys(found)) found[key].push(...part[key]);
  }
  return found;
}

// Calls once a frame of the screen, however often a range changes in between.
function onView(made, redraw) {
  let asked = false;
  const ask = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      redraw();
    });
  };
  made.x_range.change.connect(ask);
  made.y_range.change.connect(ask);
}

// ---- the memory map: a rectangle for each range of bytes, as long as it is in use

const RECTANGLES_MAX = 6000; // of those in view, the largest; zooming in brings the rest
const MAP_HEIGHT = 470;

function blocksInView(map, x, y) {
  const found = map.blocks.filter(
    ([, , from, to, first, stop]) =>
      stop - 0.5 > x.start && first - 0.5 < x.end && to > y.start && from < y.end,
  );
  if (found.length <= RECTANGLES_MAX) return found;
  const area = ([, , from, to, first, stop]) => (to - from) * (stop - first);
  return found.sort((a, b) => area(b) - area(a)).slice(0, RECTANGLES_MAX);
}

function stepName(map, step) {
  const found = map.steps[step - map.first_step];
  return found ? `op ${step} ${map.op_kinds[found[0]]}` : "the end";
}

function blockText(map, [name, kind, from, to, first, stop, own]) {
  const until = stop - 1 > first ? ` to ${stepName(map, stop - 1)}` : "";
  return (
    `<b>${escaped(name)}</b><br>${data.maps.kinds[kind].name}, ${bytes(own)}<br>` +
    `bytes ${count(from)} to ${count(to)}<br>${stepName(map, first)}${until}`
  );
}

function fillMap(map, layers, names, made) {
  const { x_range: x, y_range: y } = made;
  const shown = blocksInView(map, x, y);
  const pixel_x = (x.end - x.start) / Math.max(300, element("map").clientWidth - 110);
  const pixel_y = (y.end - y.start) / (MAP_HEIGHT - 90);
  const texts = [];
  data.maps.kinds.forEach((kind, number) => {
    const rows = shown
      .filter((block) => block[1] === number)
      .map((b) => [b[4] - 0.5, b[5] - 0.5, b[2], b[3], blockText(map, b), b[0]]);
    layers[number].source.data = boxes(rows);
    layers[number].renderer.glyph.line_width = { value: shown.length > 800 ? 0.2 : 1 };
    texts.push(named(rows, kind.colour, pixel_x, pixel_y));
  });
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
  return { own, entries: [["the runtime's own", own.renderer], ["in use", used], ["budget", budget]] };
}

async function drawMap(index) {
  const map = data.maps.shown[index];
  const made = figure("map", {
    height: MAP_HEIGHT,
    x_range: range(map.first_step - 0.5, map.first_step + map.steps.length - 0.5),
    y_range: range(0, 1.06 * Math.max(map.required, data.maps.budget)),
    x_label: "step (op)",
    y_label: "bytes of the arena",
  });
  made.yaxis.formatter = whole_numbers();
  const layers = data.maps.kinds.map((kind) => layer(made, kind.colour));
  const names = nameLayer(made);
  const { own, entries } = drawBounds(made, map);
  markPeak(made, map);
  made.add_tools(hover([...layers.map((l) => l.renderer), own.renderer]));
  const used = new Set(map.blocks.map((block) => block[1]));
  const kinds = data.maps.kinds.flatMap((kind, n) => (used.has(n) ? [[kind.name, layers[n].renderer]] : []));
  legend(made, [...kinds, ...entries]);
  fillMap(map, layers, names, made);
  onView(made, () => fillMap(map, layers, names, made));
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

// ---- time: spans are unpacked, and drawn as far as the screen can tell them apart

async function unpack(timeline) {
  const packed = Uint8Array.from(atob(timeline.spans), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const raw = await new Response(stream).arrayBuffer();
  const types = { "<f8": Float64Array, "<i4": Int32Array, "<u4": Uint32Array, "<u2": Uint16Array };
  const spans = {};
  let at = 0;
  for (const [name, type] of Object.entries(timeline.columns)) {
    spans[name] = new types[type](raw, at, timeline.count);
    at += spans[name].byteLength;
  }
  return spans;
}

// The spans of each lane and category, in order of time: they do not overlap.
function grouped(spans, timeline) {
  const groups = new Map();
  for (let i = 0; i < timeline.count; i++) {
    const key = spans.category[i] * timeline.lanes.length + spans.lane[i];
    if (!groups.has(key)) {
      groups.set(key, { category: spans.category[i], lane: spans.lane[i], members: [] });
    }
    groups.get(key).members.push(i);
  }
  return [...groups.values()].sort((a, b) => a.category - b.category || a.lane - b.lane);
}

function firstFrom(spans, members, time) {
  let low = 0;
  let high = members.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans.stop[members[middle]] <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Neighbours that a pixel can't keep apart become one bar, which tells how many they are.
function bars(spans, members, from, to, pixel) {
  const found = [];
  for (let n = firstFrom(spans, members, from); n < members.length; n++) {
    const i = members[n];
    if (spans.start[i] >= to) break;
    const last = found.at(-1);
    if (last && spans.start[i] - last.stop < pixel && spans.stop[i] - last.start < 4 * pixel) {
      last.stop = Math.max(last.stop, spans.stop[i]);
      last.count += 1;
      last.sum += spans.stop[i] - spans.start[i];
    } else {
      found.push({ first: i, start: spans.start[i], stop: spans.stop[i], count: 1, sum: spans.stop[i] - spans.start[i] });
    }
  }
  return found;
}

function barText(spans, timeline, bar, category) {
  const at = `from ${ms(bar.start)} on`;
  if (bar.count > 1) return `<b>${category}</b>, ${bar.count} times<br>${ms(bar.sum)} in all, ${at}`;
  const i = bar.first;
  const step = spans.step[i] >= 0 ? `op ${spans.step[i]}, ` : "";
  const frame = spans.frame[i] >= 0 ? `frame ${spans.frame[i]}` : "nobody's frame";
  const moved = spans.bytes[i] ? `<br>${bytes(spans.bytes[i])}` : "";
  const name = escaped(timeline.names[spans.name[i]]);
  return `<b>${category}</b> ${name}<br>${step}${frame}${moved}<br>${ms(bar.sum)}, ${at}`;
}

const LANE = 34; // pixels

function fillLanes(timeline, spans, groups, layers, names, made) {
  const { start: from, end: to } = made.x_range;
  const pixel = (to - from) / Math.max(300, element("lanes").clientWidth - 130);
  const rows = timeline.categories.map(() => []);
  for (const group of groups) {
    const category = timeline.categories[group.category].name;
    for (const bar of bars(spans, group.members, from, to, pixel)) {
      const end = Math.max(bar.stop, bar.start + pixel);
      const name = bar.count === 1 ? timeline.names[spans.name[bar.first]] : "";
      const text = barText(spans, timeline, bar, category);
      rows[group.category].push([bar.start, end, -group.lane - 0.4, -group.lane + 0.4, text, name]);
    }
  }
  const many = rows.reduce((sum, mine) => sum + mine.length, 0) > 400;
  const texts = rows.map((mine, n) => {
    layers[n].source.data = boxes(mine);
    layers[n].renderer.glyph.line_width = { value: many ? 0 : 0.5 };
    return named(mine, layers[n].colour, pixel, 0.8 / (0.8 * LANE));
  });
  names.data = merged(texts);
  element("window").textContent = `${ms(from)} to ${ms(to)}`;
}

function drawLanes(timeline, spans, [from, to]) {
  const groups = grouped(spans, timeline);
  const made = figure("lanes", {
    dimensions: "width",
    height: 110 + LANE * timeline.lanes.length,
    x_range: range(from, to),
    y_range: range(0.6 - timeline.lanes.length, 0.6),
    x_label: "ms",
  });
  made.yaxis.ticker = new Bokeh.FixedTicker({ ticks: timeline.lanes.map((_, n) => -n) });
  made.yaxis.major_label_overrides = new Map(timeline.lanes.map((lane, n) => [-n, lane]));
  made.ygrid.grid_line_color = null;
  const edge = (category) => (category.name === "compute" ? "#fff" : null); // or it hides what is thin
  const layers = timeline.categories.map((category) =>
    layer(made, category.colour, { line_color: edge(category) }),
  );
  const names = nameLayer(made);
  made.add_tools(hover(layers.map((l) => l.renderer)));
  legend(made, timeline.categories.map((category, n) => [category.name, layers[n].renderer]));
  const redraw = () => fillLanes(timeline, spans, groups, layers, names, made);
  redraw();
  onView(made, redraw);
  const show = ([start, end]) => made.x_range.setv({ start, end });
  return { show, shown: Bokeh.Plotting.show(made, "#lanes") };
}

// Milliseconds of the core by category, for each frame of the main model.
function sums(timeline, spans) {
  const number = new Map(timeline.frames.map((frame, n) => [frame[0], n]));
  const found = timeline.categories.map(() => new Float64Array(timeline.frames.length));
  for (let i = 0; i < timeline.count; i++) {
    const n = number.get(spans.frame[i]);
    if (spans.lane[i] === timeline.core && n !== undefined) {
      found[spans.category[i]][n] += spans.stop[i] - spans.start[i];
    }
  }
  return found;
}

function frameParts(timeline, spans) {
  const before = timeline.frames.map(([, arrived, start, , lost]) => (lost ? 0 : start - arrived));
  return [
    { name: "before its turn", colour: "#e4e4e4", values: before },
    ...sums(timeline, spans).map((values, n) => ({ ...timeline.categories[n], values })),
  ].filter((part) => part.values.some((value) => value > 0));
}

async function drawFrames(timeline, spans, chosen) {
  const { frames } = timeline;
  const made = figure("frames", { height: 250, dimensions: "width", x_label: "frame", y_label: "ms" });
  const top = frames.map(() => 0);
  const entries = frameParts(timeline, spans).map((part) => {
    const added = layer(made, part.colour);
    const rows = frames.map(([number], n) => {
      const bottom = top[n];
      top[n] += part.values[n];
      const text = `<b>${part.name}</b><br>frame ${number}: ${ms(part.values[n])}`;
      return [number - 0.42, number + 0.42, bottom, top[n], text];
    });
    added.source.data = boxes(rows.filter((row) => row[3] > row[2]));
    return [part.name, added.renderer];
  });
  const lost = frames.filter((frame) => frame[4]);
  if (lost.length) {
    const source = new Bokeh.ColumnDataSource({
      data: {
        x: lost.map((frame) => frame[0]),
        y: lost.map(() => 0),
        text: lost.map((frame) => `frame ${frame[0]} is lost: ${escaped(frame[4])}`),
      },
    });
    const marks = made.scatter({
      x: { field: "x" }, y: { field: "y" }, source, marker: "x", size: 11, line_width: 2.5, color: "#b00020",
    });
    entries.push(["lost", marks]);
  }
  made.y_range = range(0, 1.08 * Math.max(1e-3, ...top));
  made.add_tools(hover(entries.map((entry) => entry[1])), new Bokeh.TapTool({ behavior: "inspect" }));
  legend(made, entries);
  made.on_event("tap", (event) => {
    const frame = frames.find(([number]) => number === Math.round(event.x));
    if (frame) chosen(frame);
  });
  await Bokeh.Plotting.show(made, "#frames");
}

async function showTime(timeline, spans) {
  let last = 1e-3;
  for (let i = 0; i < timeline.count; i++) last = Math.max(last, spans.stop[i]);
  const around = (frame) => {
    const edge = 0.02 * (frame[3] - frame[2]) || 1;
    return [Math.max(0, frame[2] - edge), frame[3] + edge];
  };
  const first = timeline.frames.find((frame) => !frame[4]);
  const { show, shown } = drawLanes(timeline, spans, first ? around(first) : [0, last]);
  element("all-frames").addEventListener("click", () => show([0, last]));
  await Promise.all([shown, drawFrames(timeline, spans, (frame) => show(around(frame)))]);
}

// ---- policies: required arena against latency

const MARKS = [
  ["winner", "star", 17, "#00735f", (p) => p.winner],
  ["fits", "circle", 11, "#0077bb", (p) => p.fits && !p.winner],
  ["does not fit", "x", 11, "#b00020", (p) => !p.fits && !p.winner],
];

// Points that lie on each other share one name.
function pointNames(points) {
  const places = new Map();
  for (const p of points.filter((found) => found.winner || found.pareto)) {
    const key = `${p.arena} ${p.latency.toPrecision(4)}`;
    places.set(key, [...(places.get(key) ?? []), p]);
  }
  return [...places.values()].map((found) => ({ ...found[0], name: found.map((p) => p.label).join(", ") }));
}

function frontText(p) {
  return (
    `<b>${escaped(p.label)}</b><br>${bytes(p.arena)} required<br>` +
    `${ms(p.latency)} on the mean, ${ms(p.p99)} for 99 %`
  );
}

function frontFigure(points) {
  const most = Math.max(data.maps.budget, ...points.map((p) => p.arena));
  const latencies = points.map((p) => p.latency);
  const [fastest, slowest] = [Math.min(...latencies), Math.max(...latencies)];
  const logarithmic = slowest > 3 * fastest;
  const edge = 0.12 * (slowest - fastest) || 0.05 * slowest;
  const made = figure("front", {
    height: 360,
    x_range: range(0, 1.08 * most),
    y_range: logarithmic ? range(fastest / 1.4, slowest * 1.4) : range(fastest - edge, slowest + edge),
    y_axis_type: logarithmic ? "log" : "linear",
    x_label: "required arena, bytes",
    y_label: "mean latency, ms",
  });
  made.xaxis.formatter = whole_numbers();
  made.yaxis.formatter = new Bokeh.NumeralTickFormatter({ format: "0,0.[00]" });
  return made;
}

async function drawFront() {
  const points = data.policies;
  const made = frontFigure(points);
  const front = points.filter((p) => p.pareto).sort((a, b) => a.arena - b.arena || b.latency - a.latency);
  const line = made.step({
    x: front.map((p) => p.arena), y: front.map((p) => p.latency), mode: "after", line_color: "#8a8f98",
  });
  made.add_layout(
    new Bokeh.Span({
      location: data.maps.budget, dimension: "height", line_color: data.colours.budget,
      line_dash: [7, 4], line_width: 2,
    }),
  );
  const entries = MARKS.flatMap(([name, marker, size, color, of]) => {
    const mine = points.filter(of);
    if (!mine.length) return [];
    const source = new Bokeh.ColumnDataSource({
      data: { x: mine.map((p) => p.arena), y: mine.map((p) => p.latency), text: mine.map(frontText) },
    });
    const x = { field: "x" };
    return [[name, made.scatter({ x, y: { field: "y" }, source, marker, size, color, line_width: 2 })]];
  });
  const names = pointNames(points);
  made.text({
    x: names.map((p) => p.arena), y: names.map((p) => p.latency), text: names.map((p) => p.name),
    x_offset: 10, y_offset: -8, text_font: FONT, text_font_size: "12px", text_color: INK,
  });
  const budget = made.line({ x: [NaN, NaN], y: [NaN, NaN], line_color: data.colours.budget, line_dash: [7, 4] });
  made.add_tools(hover(entries.map((entry) => entry[1])));
  legend(made, [...entries, ["Pareto front", line], ["budget", budget]]);
  await Bokeh.Plotting.show(made, "#front");
}

// ---- constants: a search over the rows

function searchConstants() {
  const rows = [...document.querySelectorAll("#sources tbody tr")];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const field = element("search");
  const show = () => {
    const words = field.value.toLowerCase().split(/\s+/);
    let count = 0;
    rows.forEach((row, n) => {
      row.hidden = !words.every((word) => texts[n].includes(word));
      count += row.hidden ? 0 : 1;
    });
    const assumed = rows.filter((row) => !row.hidden && row.classList.contains("assumed")).length;
    element("found").textContent = `${count} constants, ${assumed} of them assumed`;
  };
  field.addEventListener("input", show);
  show();
}

async function show(unpacked) {
  Bokeh.set_log_level("warn");
  const select = element("map-policy");
  data.maps.shown.forEach((map) => select.add(new Option(`${map.label} (${bytes(map.head)})`)));
  select.addEventListener("change", () => drawMap(select.selectedIndex));
  searchConstants();
  const time = unpacked.then((spans) => showTime(data.timeline, spans));
  await Promise.all([drawMap(0), drawFront(), time]);
  document.body.dataset.ready = "yes";
}

// The spans are unpacked while the plotting library is being read.
const unpacked = unpack(data.timeline);
document.addEventListener("DOMContentLoaded", () => show(unpacked));
