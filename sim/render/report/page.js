// The page: a search over the constants, and all pictures from the data that the page holds. Nothing
// is loaded from anywhere.

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
  const left = data.maps.left_out;
  if (left.length) element("left-out").textContent = `Too large to be shown beside it: ${left.join(", ")}.`;
  searchConstants();
  const time = unpacked.then((spans) => showTime(data.timeline, spans));
  await Promise.all([drawMap(0), drawFront(), time]);
  document.body.dataset.ready = "yes";
}

// The spans are unpacked while the plotting library is being read.
const unpacked = unpack(data.timeline);
document.addEventListener("DOMContentLoaded", () => show(unpacked));
