// Policies: required arena against latency.

const MARKS = [
  ["winner", "star", 17, "#00735f", (p) => p.winner],
  ["fits", "circle", 11, "#0077bb", (p) => p.fits && !p.winner],
  ["does not fit", "x", 11, "#b00020", (p) => !p.fits && !p.winner],
];

const NAMES_SHOWN = 3;

// Points that lie on each other share one name, the winner's first.
function pointNames(points) {
  const places = new Map();
  for (const p of points.filter((found) => found.winner || found.pareto)) {
    const key = `${p.arena} ${p.latency.toPrecision(4)}`;
    places.set(key, [...(places.get(key) ?? []), p]);
  }
  return [...places.values()].map((found) => {
    const labels = found.sort((a, b) => b.winner - a.winner).map((p) => p.label);
    const others = labels.length - NAMES_SHOWN;
    const more = others > 0 ? ` and ${others} other${others > 1 ? "s" : ""}` : "";
    return { ...found[0], name: labels.slice(0, NAMES_SHOWN).join(", ") + more };
  });
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

// To the right of its point, or where that is far to the right, to its left.
function writeNames(made, names) {
  const far = (p) => p.arena > 0.7 * made.x_range.end;
  for (const [found, text_align, x_offset] of [
    [names.filter((p) => !far(p)), "left", 10],
    [names.filter(far), "right", -10],
  ]) {
    made.text({
      x: found.map((p) => p.arena), y: found.map((p) => p.latency), text: found.map((p) => p.name),
      text_align, x_offset, y_offset: -8, text_font: FONT, text_font_size: "12px", text_color: INK,
      background_fill_color: "#fff", background_fill_alpha: 0.8,
    });
  }
}

async function drawFront() {
  const points = data.policies;
  if (!points.length) return;
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
  writeNames(made, pointNames(points));
  const budget = made.line({ x: [NaN, NaN], y: [NaN, NaN], line_color: data.colours.budget, line_dash: [7, 4] });
  made.add_tools(hover(entries.map((entry) => entry[1])));
  legend(made, [...entries, ["Pareto front", line], ["budget", budget]]);
  await Bokeh.Plotting.show(made, "#front");
}
