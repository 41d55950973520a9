"use strict";
// What the pictures of the report share: the data, words for numbers, figures and their parts.

const data = JSON.parse(document.getElementById("data").textContent);
const count = (n) => Math.round(n).toLocaleString("en-US");
const bytes = (n) => `${count(n)} B`;
const ms = (t) => (t >= 1 ? `${+t.toPrecision(5)} ms` : `${+(t * 1e3).toPrecision(5)} us`);
const instant = (t) => `${t.toLocaleString("en-US", { maximumFractionDigits: 3 })} ms`;
const escaped = (text) =>
  text.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);
const element = (name) => document.getElementById(name);
const FONT = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
const INK = "#1a1a2e";

// The figures by the name of their element; tests look here too.
const figures = {};

function figure(name, { dimensions = "both", x_label = null, y_label = null, ...options }) {
  const made = Bokeh.Plotting.figure({
    name,
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
  made.on_event("doubletap", () => {
    made.x_range.reset();
    made.y_range.reset();
  });
  figures[name] = made;
  return made;
}

const range = (start, end) => new Bokeh.Range1d({ start, end });
const whole_numbers = () => new Bokeh.NumeralTickFormatter({ format: "0,0" });
const whole_ticks = () => new Bokeh.AdaptiveTicker({ base: 10, mantissas: [1, 2, 5], min_interval: 1 });
// Styled by itself: no rule of the page reaches into a tooltip.
const TIP = "max-width: min(380px, 45vw); white-space: normal; overflow-wrap: anywhere";
const hover = (renderers) =>
  new Bokeh.HoverTool({
    renderers, tooltips: `<div style="${TIP}">@text{safe}</div>`, point_policy: "follow_mouse",
  });

// As many entries in a row as there is room for: columns are as wide as their longest label.
function columns(name, entries) {
  const room = element(name).clientWidth - 150;
  const widths = entries.map(([label]) => 40 + 7 * label.length);
  for (let n = entries.length; n > 1; n--) {
    const taken = Array(n).fill(0);
    widths.forEach((width, i) => (taken[i % n] = Math.max(taken[i % n], width)));
    if (taken.reduce((sum, width) => sum + width, 0) <= room) return n;
  }
  return 1;
}

const LEGEND_ROW = 26; // pixels

function legend(made, entries) {
  const items = entries.map(
    ([label, ...renderers]) => new Bokeh.LegendItem({ label, renderers }),
  );
  const ncols = columns(made.name, entries);
  made.height += LEGEND_ROW * (Math.ceil(entries.length / ncols) - 1);
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
    ncols,
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

const ruler = document.createElement("canvas").getContext("2d");
ruler.font = `11px ${FONT}`;
const widths = new Map();

function nameWidth(name) {
  if (!widths.has(name)) widths.set(name, ruler.measureText(name).width);
  return widths.get(name);
}

const LINE = 14; // pixels
const DARK = new Set(["#0077bb", "#009988", "#cc3311", "#8c7ae6", "#aa4499", "#882255", "#555555"]);

function named(rows, colour, pixel_x, pixel_y) {
  const found = { x: [], y: [], name: [], colour: [] };
  for (const [left, right, bottom, top, , name] of rows) {
    const room = (right - left) / pixel_x - 6;
    if (!name || (top - bottom) / pixel_y < LINE || room < 14 || room < nameWidth(name)) continue;
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
