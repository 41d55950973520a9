"use strict";
// Draws the report's pictures from the data that the page holds. Nothing is loaded from anywhere.

const data = JSON.parse(document.getElementById("data").textContent);
const bytes = (n) => `${Math.round(n).toLocaleString("en-US")} B`;
const ms = (t) => (t >= 1 ? `${+t.toPrecision(5)} ms` : `${+(t * 1e3).toPrecision(5)} us`);
const escaped = (text) =>
  text.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);
const element = (name) => document.getElementById(name);
const OPTIONS = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
const LAYOUT = {
  font: { family: "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif", size: 12.5, color: "#1a1a2e" },
  margin: { l: 90, r: 16, t: 12, b: 44 },
  hovermode: "closest",
  hoverlabel: { align: "left" },
  paper_bgcolor: "rgba(0,0,0,0)",
  plot_bgcolor: "#fff",
  barmode: "overlay",
  bargap: 0,
  uniformtext: { mode: "hide", minsize: 9 },
  legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
};
const BARS = { type: "bar", hovertemplate: "%{hovertext}<extra></extra>", textposition: "none" };
const NAMED = { textposition: "inside", insidetextanchor: "middle", textangle: 0 };
const NAMED_MAX = 300; // so many bars bear their names

// ---- the memory map: a rectangle for each range of bytes, as long as it is in use

const RECTANGLES_MAX = 4000; // of those in view, the largest; zooming in brings the rest

function blocksInView(map, x, y) {
  const found = map.blocks.filter(
    ([, , from, to, first, stop]) =>
      stop - 0.5 > x[0] && first - 0.5 < x[1] && to > y[0] && from < y[1],
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
    `bytes ${from.toLocaleString("en-US")} to ${to.toLocaleString("en-US")}<br>` +
    `${stepName(map, first)}${until}`
  );
}

function blockTraces(map, x, y) {
  const shown = blocksInView(map, x, y);
  return data.maps.kinds
    .map((kind, number) => {
      const mine = shown.filter((block) => block[1] === number);
      return {
        ...BARS,
        name: kind.name,
        x: mine.map((b) => (b[4] + b[5] - 1) / 2),
        width: mine.map((b) => b[5] - b[4]),
        base: mine.map((b) => b[2]),
        y: mine.map((b) => b[3] - b[2]),
        hovertext: mine.map((b) => blockText(map, b)),
        ...(shown.length <= NAMED_MAX ? { ...NAMED, text: mine.map((b) => escaped(b[0])) } : {}),
        marker: { color: kind.colour, line: { color: "#fff", width: shown.length > 800 ? 0.2 : 1 } },
      };
    })
    .filter((trace) => trace.x.length);
}

function mapTraces(map, x, y) {
  const { colours } = data;
  const first = map.first_step;
  const steps = map.steps.map((_, n) => first + n);
  const ends = [first - 0.5, first + steps.length - 0.5];
  const own = {
    ...BARS,
    name: "the runtime's own",
    x: [(ends[0] + ends[1]) / 2],
    width: [steps.length],
    base: [map.head],
    y: [map.required - map.head],
    hovertext: [
      `<b>the runtime's own bytes</b><br>persistent ${bytes(map.persistent)}, ` +
        `temporary ${bytes(map.temporary)}<br>required arena ${bytes(map.required)}`,
    ],
    marker: { color: colours.runtime, opacity: 0.45 },
  };
  const used = {
    type: "scatter",
    mode: "lines",
    name: "in use",
    x: steps,
    y: map.steps.map((step) => step[1]),
    line: { shape: "hvh", color: colours.in_use, width: 1.5, dash: "dot" },
    hovertemplate: "%{y:,} B in use at op %{x}<extra></extra>",
  };
  const budget = {
    type: "scatter",
    mode: "lines",
    name: "budget",
    x: ends,
    y: [data.maps.budget, data.maps.budget],
    line: { color: colours.budget, width: 2, dash: "dash" },
    hovertemplate: "budget %{y:,} B<extra></extra>",
  };
  return [...blockTraces(map, x, y), own, used, budget];
}

function peakMark(map) {
  return {
    x: map.peak.step,
    y: map.peak.bytes,
    text: `<b>peak ${bytes(map.peak.bytes)}</b>`,
    bgcolor: "rgba(255,255,255,.85)",
    showarrow: true,
    arrowhead: 2,
    ay: -34,
    ax: map.peak.step > map.first_step + map.steps.length / 2 ? -70 : 70,
    font: { color: data.colours.peak },
  };
}

function drawMap(index) {
  const map = data.maps.shown[index];
  const x = [map.first_step - 0.5, map.first_step + map.steps.length - 0.5];
  const y = [0, 1.06 * Math.max(map.required, data.maps.budget)];
  const layout = {
    ...LAYOUT,
    height: 470,
    xaxis: { title: { text: "step (op)" }, range: [...x], zeroline: false, gridcolor: "#f0f2f5" },
    yaxis: { title: { text: "bytes of the arena" }, range: [...y], tickformat: ",", gridcolor: "#e8ebef" },
    annotations: [peakMark(map)],
  };
  Plotly.react("map", mapTraces(map, x, y), layout, OPTIONS);
  element("map").dataset.peak = map.peak.bytes;
  element("peak").textContent = `The peak: ${map.explained[0]}. In use there:`;
  element("alive").replaceChildren(
    ...map.explained.slice(1).map((line) => {
      const item = document.createElement("li");
      item.textContent = line;
      return item;
    }),
  );
}

function redrawMap() {
  const plot = element("map");
  const map = data.maps.shown[element("map-policy").selectedIndex];
  if (map.blocks.length <= RECTANGLES_MAX) return;
  const { xaxis, yaxis } = plot.layout;
  Plotly.react(plot, mapTraces(map, xaxis.range, yaxis.range), plot.layout, OPTIONS);
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

function laneTraces(timeline, spans, groups, from, to, width) {
  const pixel = (to - from) / width;
  const traces = timeline.categories.map((category) => ({
    ...BARS,
    orientation: "h",
    name: category.name,
    legendgroup: category.name,
    base: [],
    x: [],
    y: [],
    hovertext: [],
    text: [],
    width: 0.8,
    marker: { color: category.colour, line: { color: "#fff", width: 0 } },
  }));
  let drawn = 0;
  for (const group of groups) {
    const trace = traces[group.category];
    for (const bar of bars(spans, group.members, from, to, pixel)) {
      trace.base.push(bar.start);
      trace.x.push(Math.max(bar.stop - bar.start, pixel));
      trace.y.push(timeline.lanes[group.lane]);
      drawn += 1;
      trace.text.push(bar.count === 1 ? escaped(timeline.names[spans.name[bar.first]]) : "");
      trace.hovertext.push(barText(spans, timeline, bar, timeline.categories[group.category].name));
    }
  }
  if (drawn <= NAMED_MAX) {
    for (const trace of traces) Object.assign(trace, NAMED).marker.line.width = 0.5;
  }
  return traces;
}

function drawLanes(timeline, spans, groups, [from, to]) {
  const plot = element("lanes");
  const width = Math.max(300, plot.clientWidth - 130);
  const layout = {
    ...LAYOUT,
    height: 130 + 34 * timeline.lanes.length,
    xaxis: { title: { text: "ms" }, range: [from, to], zeroline: false, gridcolor: "#f0f2f5" },
    yaxis: {
      categoryorder: "array",
      categoryarray: [...timeline.lanes].reverse(),
      range: [-0.6, timeline.lanes.length - 0.4],
      fixedrange: true,
    },
  };
  const traces = laneTraces(timeline, spans, groups, from, to, width);
  element("window").textContent = `${ms(from)} to ${ms(to)}`;
  return Plotly.react(plot, traces, layout, OPTIONS);
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

function drawFrames(timeline, spans) {
  const numbers = timeline.frames.map((frame) => frame[0]);
  const parts = [
    {
      name: "before its turn",
      colour: "#e4e4e4",
      values: timeline.frames.map(([, arrived, start, , lost]) => (lost ? 0 : start - arrived)),
    },
    ...sums(timeline, spans).map((values, n) => ({ ...timeline.categories[n], values: [...values] })),
  ].filter((part) => part.values.some((value) => value > 0));
  const lost = timeline.frames.filter((frame) => frame[4]);
  const traces = parts.map((part) => ({
    ...BARS,
    name: part.name,
    x: numbers,
    y: part.values,
    hovertext: part.values.map((value, n) => `<b>${part.name}</b><br>frame ${numbers[n]}: ${ms(value)}`),
    marker: { color: part.colour },
  }));
  traces.push({
    type: "scatter",
    mode: "markers",
    name: "lost",
    x: lost.map((frame) => frame[0]),
    y: lost.map(() => 0),
    text: lost.map((frame) => escaped(frame[4])),
    hovertemplate: "frame %{x} is lost: %{text}<extra></extra>",
    marker: { symbol: "x", size: 10, color: "#b00020" },
    showlegend: lost.length > 0,
  });
  const layout = {
    ...LAYOUT,
    height: 250,
    barmode: "stack",
    bargap: 0.15,
    xaxis: { title: { text: "frame" }, gridcolor: "#f0f2f5" },
    yaxis: { title: { text: "ms" }, gridcolor: "#e8ebef" },
  };
  return Plotly.react("frames", traces, layout, OPTIONS);
}

async function showTime(timeline, spans) {
  const groups = grouped(spans, timeline);
  let last = 0;
  for (let i = 0; i < timeline.count; i++) last = Math.max(last, spans.stop[i]);
  const whole = [0, last || 1];
  const around = (frame) => {
    const edge = 0.02 * (frame[3] - frame[2]) || 1;
    return [Math.max(0, frame[2] - edge), frame[3] + edge];
  };
  const first = timeline.frames.find((frame) => !frame[4]);
  const show = (range) => drawLanes(timeline, spans, groups, range);
  await drawFrames(timeline, spans);
  await show(first ? around(first) : whole);
  element("frames").on("plotly_click", (event) => {
    const frame = timeline.frames.find((found) => found[0] === event.points[0].x);
    if (frame) show(around(frame));
  });
  element("lanes").on("plotly_relayout", (change) => {
    const axis = element("lanes").layout.xaxis;
    if (change["xaxis.autorange"]) show(whole);
    else if ("xaxis.range[0]" in change || "xaxis.range" in change) show([...axis.range]);
  });
  element("all-frames").addEventListener("click", () => show(whole));
}

// ---- policies: required arena against latency

function drawFront() {
  const points = data.policies;
  const marks = [
    ["winner", "star", 15, (p) => p.winner],
    ["fits", "circle", 10, (p) => p.fits && !p.winner],
    ["does not fit", "x", 9, (p) => !p.fits && !p.winner],
  ];
  const colours = { winner: "#00735f", fits: "#0077bb", "does not fit": "#b00020" };
  const traces = marks.map(([name, symbol, size, of]) => {
    const mine = points.filter(of);
    return {
      type: "scatter",
      mode: "markers+text",
      name,
      x: mine.map((p) => p.arena),
      y: mine.map((p) => p.latency),
      text: mine.map((p) => (p.winner || p.pareto ? escaped(p.label) : "")),
      textposition: "top center",
      cliponaxis: false,
      hovertext: mine.map(
        (p) =>
          `<b>${escaped(p.label)}</b><br>${bytes(p.arena)} required<br>` +
          `${ms(p.latency)} on the mean, ${ms(p.p99)} for 99 %`,
      ),
      hovertemplate: "%{hovertext}<extra></extra>",
      marker: { symbol, size, color: colours[name] },
      showlegend: mine.length > 0,
    };
  });
  const front = points.filter((p) => p.pareto).sort((a, b) => a.arena - b.arena || b.latency - a.latency);
  const slowest = Math.max(...points.map((p) => p.latency));
  const fastest = Math.min(...points.map((p) => p.latency));
  traces.unshift({
    type: "scatter",
    mode: "lines",
    name: "Pareto front",
    x: front.map((p) => p.arena),
    y: front.map((p) => p.latency),
    line: { shape: "hv", color: "#8a8f98", width: 1.5 },
    hoverinfo: "skip",
  });
  const spread = slowest > 3 * fastest;
  const layout = {
    ...LAYOUT,
    height: 380,
    xaxis: { title: { text: "required arena, bytes" }, tickformat: ",", gridcolor: "#f0f2f5" },
    yaxis: { title: { text: "mean latency, ms" }, type: spread ? "log" : "linear", gridcolor: "#e8ebef" },
    shapes: [
      {
        type: "line",
        x0: data.maps.budget,
        x1: data.maps.budget,
        y0: 0,
        y1: 1,
        yref: "paper",
        line: { color: data.colours.budget, width: 2, dash: "dash" },
      },
    ],
    annotations: [
      { x: data.maps.budget, y: 1, yref: "paper", yanchor: "top", text: "budget", showarrow: false, xanchor: "left", xshift: 4, font: { color: data.colours.budget } },
    ],
  };
  return Plotly.react("front", traces, layout, OPTIONS);
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
  // The spans are unpacked while Plotly is being read.
const unpacked = unpack(data.timeline);
document.addEventListener("DOMContentLoaded", () => show(unpacked));
}

async function show(unpacked) {
  const select = element("map-policy");
  data.maps.shown.forEach((map) => select.add(new Option(`${map.label} (${bytes(map.head)})`)));
  select.addEventListener("change", () => drawMap(select.selectedIndex));
  drawMap(0);
  element("map").on("plotly_relayout", redrawMap);
  await showTime(data.timeline, await unpacked);
  await drawFront();
  searchConstants();
  document.body.dataset.ready = "yes";
}

// The spans are unpacked while Plotly is being read.
const unpacked = unpack(data.timeline);
document.addEventListener("DOMContentLoaded", () => show(unpacked));
