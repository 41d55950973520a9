// Time: spans are unpacked, and drawn as far as the screen can tell them apart.

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

// The spans of each lane and category, in order of time.
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
  const at = `from ${instant(bar.start)} on`;
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
  element("window").textContent = `${instant(from)} to ${instant(to)}`;
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
  made.xaxis.ticker = whole_ticks();
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
