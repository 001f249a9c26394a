// The page of a report: shows the facts that Python gathered (analysis/page/facts.py). Everything that comes from a study is
// set as text, never as HTML; plotly, which reads some tags in its labels, gets them escaped.
"use strict";
const $ = id => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const several = data.studies.length > 1;
const PAGE = 20, GL_FROM = 2000;

// ---- columns, names, numbers
const decoded = new Map();
function column(name) {
  if (!decoded.has(name)) {
    const held = data.columns[name] || {same: null};
    decoded.set(name, held.values || (held.codes ? held.codes.map(code => (code < 0 ? null : held.names[code]))
      : Array(data.rows).fill(held.same)));
  }
  return decoded.get(name);
}
const all = [...Array(data.rows).keys()];
const trial = column("trial"), method = column("method").map(name => name ?? ""), state = column("state");
const studyOf = column("_study"), isFront = column("_front"), isMet = column("_meets");
const study = i => data.studies[studyOf[i]];
const complete = all.filter(i => state[i] === "complete");
const isNumber = value => typeof value === "number";

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter(child => child != null && child !== false));
  return element;
}
const safe = text => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const label = name => data.measures[name]?.label ?? name.replaceAll("_", " ");
const better = name => data.measures[name]?.better ?? "";
function axis(name, arrows) {
  const unit = data.measures[name]?.unit;
  const way = better(name) && ` (${better(name) === "higher" ? arrows[0] : arrows[1]})`;
  return label(name) + (unit && unit !== "MACs" ? ` [${unit}]` : "") + way;
}
const UP = ["better ↑", "better ↓"], ACROSS = ["better →", "← better"];

function stepped(value) {
  for (const [step, prefix] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]])
    if (Math.abs(value) >= step) return `${+(value / step).toPrecision(3)} ${prefix}`;
  return `${+value.toPrecision(3)}`;
}
function human(name, value) {
  if (value == null) return "";
  if (!isNumber(value)) return String(value);
  const unit = data.measures[name]?.unit;
  if (name === "params" || name === "macs") return stepped(value);
  if (unit === "bytes") return /[a-z]$/i.test(stepped(value)) ? `${stepped(value)}B` : `${stepped(value)} B`;
  if (unit === "ms") return `${+value.toPrecision(3)} ms`;
  return unit === undefined ? String(+value.toPrecision(6)) : value.toFixed(4);
}
const many = (count, one, more = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : more}`;
const quantile = (sorted, share) => {
  const place = (sorted.length - 1) * share, low = Math.floor(place);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (place - low);
};

// ---- what is shown
const hidden = {method: new Set(), study: new Set()};
const names = {method: Object.keys(data.marks.method), study: data.studies.map(one => one.name)};
const isShown = i => !hidden.method.has(method[i]) && !hidden.study.has(study(i).name);
let by = "method", chosen = null;
const kindOf = i => (by === "method" ? method[i] : study(i).name);

// ---- colours, and charts that are drawn when they are looked at
const probe = make("span", {hidden: true});
document.body.append(probe);
const shade = name => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
const colour = (name, kind = by) => (data.marks[kind][name].colour === "#222222" ? shade("ink") : data.marks[kind][name].colour);
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];
const dash = (name, kind = by) => DASHES[names[kind].indexOf(name) % DASHES.length];
const hasGL = (() => {
  const tried = document.createElement("canvas").getContext("webgl");
  tried?.getExtension("WEBGL_lose_context")?.loseContext();
  return Boolean(tried);
})();

const charts = {};
function chart(id, draw) {
  charts[id] = {draw, isDrawn: false};
  watcher.observe($(id));
}
const watcher = new IntersectionObserver(seen => seen.filter(one => one.isIntersecting).forEach(one => show(one.target.id)),
  {rootMargin: "200px"});
function show(id) {
  watcher.unobserve($(id));
  charts[id].isDrawn = true;
  return charts[id].draw($(id));
}
const redraw = () => Object.values(charts).forEach((one, place) => one.isDrawn && one.draw($(Object.keys(charts)[place])));

// Lines of about so many letters, for an axis that is shorter than what it says.
const wrapped = (text, letters) => text.split(" ").reduce((lines, word) => (lines.length && (lines.at(-1) + word).length < letters
  ? [...lines.slice(0, -1), `${lines.at(-1)} ${word}`] : [...lines, word]), []).map(safe).join("<br>");
function plot(place, traces, {x = {}, y = {}, described, ...more}) {
  const shared = {gridcolor: shade("line"), zerolinecolor: shade("line"), linecolor: shade("soft"), automargin: true,
    ticks: "outside", tickcolor: shade("soft"), exponentformat: "SI"};
  // Left of the axis across are the other one's labels.
  const titled = (axis, room) => ({...shared, ...axis, title: {text: wrapped(axis.title ?? "", room / 8), standoff: 8}});
  place.setAttribute("aria-label", described);
  return Plotly.react(place, traces, {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest", showlegend: false,
    font: {color: shade("ink"), size: 13, family: getComputedStyle(document.body).fontFamily},
    margin: {l: 60, r: 16, t: 26, b: 50}, hoverlabel: {align: "left"}, dragmode: "zoom",
    modebar: {bgcolor: "rgba(0,0,0,0)", color: shade("soft"), activecolor: shade("accent")},
    legend: {orientation: "h", yref: "container", y: 0, yanchor: "bottom"}, ...more, xaxis: titled(x, place.clientWidth - 120), yaxis: titled(y, place.clientHeight - 60),
  }, {responsive: true, displaylogo: false, displayModeBar: !place.closest("aside"),
    // Named one by one: plotly's own choice holds a button that sends the chart to its makers.
    modeBarButtons: [["toImage"], ["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]]});
}
function emptied(place, reason) {
  place.hidden = true;
  $(place.getAttribute("aria-describedby")).textContent = reason;
}
const choose = (id, options, first) => {
  const groups = Object.entries(options).map(([title, listed]) => {
    const made = listed.map(name => make("option", {value: name}, label(name)));
    return title ? make("optgroup", {label: title}, made) : made;
  });
  $(id).replaceChildren(...groups.flat());
  if (first) $(id).value = first;
};
const onPicked = (id, work) => { $(id).addEventListener("change", work); return () => $(id).value; };
const head = (...cells) => make("thead", {}, make("tr", {}, cells.map(text => make("th", {scope: "col"}, text))));

// ---- the front
const measured = Object.keys(data.measures).filter(name => complete.some(i => isNumber(column(name)[i])));
const numeric = [...data.knobs, "epochs", "seconds"].filter(name =>
  new Set(complete.map(i => column(name)[i]).filter(isNumber)).size > 1);
const objectives = [...new Set(data.studies.flatMap(one => one.objectives))].filter(name => measured.includes(name));
const isTop = name => better(name) === "higher";
const firstY = objectives.find(isTop) || objectives[0] || measured[0];
const firstX = [...objectives, ...measured].find(name => name !== firstY && !isTop(name)) || measured.find(name => name !== firstY) || firstY;

const isWide = name => {
  const values = complete.map(i => column(name)[i]).filter(isNumber);
  return !isTop(name) && values.every(value => value > 0) && values.reduce((a, b) => Math.max(a, b), 0) > 20 * values.reduce((a, b) => Math.min(a, b), Infinity);
};

// The rows that no other beats in both axes, ordered along x: equal ones are all kept.
function frontOf(rows, x, y) {
  const [ways, up] = [isTop(x) ? -1 : 1, isTop(y) ? -1 : 1];
  const order = rows.slice().sort((a, b) => ways * (column(x)[a] - column(x)[b]) || up * (column(y)[a] - column(y)[b]));
  const kept = [];
  for (const i of order) {
    const last = kept.at(-1);
    if (last === undefined || up * (column(y)[i] - column(y)[last]) < 0
      || (column(y)[i] === column(y)[last] && column(x)[i] === column(x)[last])) kept.push(i);
  }
  return isTop(x) ? kept.reverse() : kept;
}
const hover = i => `<b>${safe(method[i])}</b>${column("ratio")[i] == null ? "" : ` at ratio ${column("ratio")[i]}`}`
  + `<br>trial ${safe(trial[i].slice(0, 8))}${several ? ` of ${safe(study(i).name)}` : ""}`;

function drawFront(place) {
  if (!measured.length) return emptied(place, "No network is complete and has a finite measure: there is nothing to compare.");
  const x = $("x").value, y = $("y").value, xs = column(x), ys = column(y);
  const rows = complete.filter(i => isShown(i) && isNumber(xs[i]) && isNumber(ys[i]));
  const meeting = rows.filter(i => isMet[i]);
  const best = better(x) && better(y) ? frontOf(meeting, x, y) : [];
  const strong = new Set(best);
  const type = hasGL && rows.length > GL_FROM ? "scattergl" : "scatter";
  const traces = [];
  if (best.length) {
    // On to where dearer networks lie: what the front attains there is no more.
    const line = best.map(i => [xs[i], ys[i]]), edge = rows.reduce((far, i) => (isTop(x) ? Math.min : Math.max)(far, xs[i]), xs[best[0]]);
    if (isTop(x)) line.unshift([edge, line[0][1]]); else line.push([edge, line.at(-1)[1]]);
    traces.push({type: "scatter", mode: "lines", x: line.map(([a]) => a), y: line.map(([, b]) => b), hoverinfo: "skip",
      line: {shape: isTop(x) ? "vh" : "hv", color: shade("ink"), width: 1.8}, name: "front"});
  }
  for (const name of names[by]) {
    const own = rows.filter(i => kindOf(i) === name);
    const ranks = [own.filter(i => !isMet[i]), own.filter(i => isMet[i] && !strong.has(i)), own.filter(i => strong.has(i))];
    ranks.forEach((some, rank) => some.length && traces.push({
      type, mode: "markers", x: some.map(i => xs[i]), y: some.map(i => ys[i]), customdata: some, name: safe(name), text: some.map(hover),
      hovertemplate: `%{text}<br>${safe(label(x))} %{x}<br>${safe(label(y))} %{y}<extra></extra>`,
      marker: {symbol: data.marks[by][name].symbol, color: colour(name), opacity: name === "dense" ? 1 : [0.15, 0.55, 1][rank],
        size: (name === "dense" ? 17 : rank === 2 ? 11 : 8) * (/triangle/.test(data.marks[by][name].symbol) ? 1.25 : 1), line: {width: rank === 2 ? 1.2 : 0.5, color: shade(rank === 2 ? "ink" : "paper")}},
    }));
  }
  if (chosen !== null && rows.includes(chosen)) traces.push({type: "scatter", mode: "markers", x: [xs[chosen]], y: [ys[chosen]],
    hoverinfo: "skip", name: "chosen", marker: {symbol: "circle-open", size: 24, color: shade("accent"), line: {width: 3.5}}});
  const told = `${many(rows.length, "complete network")} of ${label(y)} against ${label(x)}; ` + (best.length
    ? `${best.length} are on the front of these two, strong and joined by the line` : "no front: a knob is neither better nor worse");
  const unmet = rows.length - meeting.length;
  $("front-caption").textContent = `${told}.` + (unmet ? ` ${many(unmet, "faint network does", "faint networks do")} not meet the constraints.` : "")
    + " Drag to zoom, double-click for the whole chart; every network is in the table below.";
  const drawn = plot(place, traces, {described: `Chart of ${told}.`, uirevision: `${x} ${y} ${$("log-x").checked} ${$("log-y").checked}`,
    x: {title: axis(x, ACROSS), type: $("log-x").checked ? "log" : "linear"}, y: {title: axis(y, UP), type: $("log-y").checked ? "log" : "linear"}});
  if (!place.isListening) {
    place.isListening = true;
    place.on("plotly_click", event => event.points[0].customdata !== undefined && pick(event.points[0].customdata));
  }
  return drawn;
}
function zoom(factor) {
  const {xaxis, yaxis} = $("front-chart").layout;
  const scaled = ({range: [a, b]}) => [(a + b) / 2 - (b - a) / 2 * factor, (a + b) / 2 + (b - a) / 2 * factor].map(value =>
    isNumber(value) ? value : 0);
  Plotly.relayout("front-chart", {"xaxis.range": scaled(xaxis), "yaxis.range": scaled(yaxis)});
}

// ---- marks in the legends, which switch methods and studies on and off
const OUTLINES = {
  square: "M4 4H16V16H4Z", diamond: "M10 2L18 10L10 18L2 10Z", "triangle-up": "M10 3L18 17H2Z", "triangle-down": "M10 17L18 3H2Z",
  cross: "M7 2H13V7H18V13H13V18H7V13H2V7H7Z", x: "M6 2L10 6L14 2L18 6L14 10L18 14L14 18L10 14L6 18L2 14L6 10L2 6Z",
  "triangle-left": "M3 10L17 2V18Z", "triangle-right": "M17 10L3 2V18Z", hexagon2: "M5 3H15L19 10L15 17H5L1 10Z",
  "diamond-tall": "M10 1L15 10L10 19L5 10Z", circle: "M10 3A7 7 0 1 1 9.99 3Z",
  star: "M10 1L12.4 7.2L19 7.6L13.9 11.8L15.6 18.3L10 14.6L4.4 18.3L6.1 11.8L1 7.6L7.6 7.2Z",
};
function swatch(name, kind) {
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  drawn.setAttribute("viewBox", "0 0 20 20");
  drawn.setAttribute("aria-hidden", "true");
  path.setAttribute("d", OUTLINES[data.marks[kind][name].symbol]);
  path.setAttribute("style", `fill: ${data.marks[kind][name].colour === "#222222" ? "var(--ink)" : data.marks[kind][name].colour}; stroke: var(--ink)`);
  drawn.append(path);
  return drawn;
}
function switches(id, kind) {
  const boxes = names[kind].map(name => {
    const box = make("input", {type: "checkbox", checked: true, onchange: () => {
      hidden[kind][box.checked ? "delete" : "add"](name);
      changed();
    }});
    return [box, name];
  });
  const turn = on => () => {
    boxes.forEach(([box, name]) => { box.checked = on; hidden[kind][on ? "delete" : "add"](name); });
    changed();
  };
  $(id).append(...boxes.map(([box, name]) => {
    const count = complete.filter(i => (kind === "method" ? method[i] : study(i).name) === name).length;
    return make("label", {}, box, by === kind ? swatch(name, kind) : "", `${name || "no method"} (${count.toLocaleString("en")})`);
  }), make("button", {type: "button", onclick: turn(true)}, "all"), make("button", {type: "button", onclick: turn(false)}, "none"));
}
function legends() {
  for (const [id, kind] of [["methods", "method"], ["studies", "study"]]) {
    $(id).replaceChildren($(id).querySelector("legend"));
    switches(id, kind);
    [...$(id).querySelectorAll("input")].forEach((box, place) => { box.checked = !hidden[kind].has(names[kind][place]); });
  }
}
function changed() {
  listing.page = 0;
  list();
  redraw();
}

// ---- the table of networks, from which every point of the chart is reached by keyboard
const listing = {page: 0, by: firstY, falls: isTop(firstY)};
const columnsListed = () => [...new Set(["trial", ...(several ? ["_study"] : []), "method", "ratio", ...objectives, ...[$("x").value, $("y").value].filter(Boolean),
  ...($("listed").value === "all" ? ["state"] : []), "_front"])];
const TITLES = {_study: "study", _front: "on the front"};
const cell = (name, i) => (name === "_study" ? study(i).name : name === "_front" ? (isFront[i] ? "yes" : "") : human(name, column(name)[i]));
const searched = i => ["trial", "method", ...data.knobs].map(name => column(name)[i]).filter(value => value != null).join(" ").toLowerCase();
function listed() {
  const what = $("listed").value, sought = $("search").value.trim().toLowerCase();
  const rows = all.filter(i => isShown(i) && (what === "all" || (state[i] === "complete" && (what === "complete" || isFront[i])))
    && (!sought || searched(i).includes(sought)));
  const key = listing.by === "_study" ? i => study(i).name : i => column(listing.by)[i];
  const sign = listing.falls ? -1 : 1;
  // What is not known comes last, whichever way.
  return rows.sort((a, b) => {
    const [one, other] = [key(a), key(b)];
    if (one == null || other == null) return (one == null) - (other == null) || a - b;
    return sign * (one < other ? -1 : one > other ? 1 : 0) || a - b;
  });
}
function list() {
  const rows = listed(), shown = columnsListed(), last = Math.max(0, Math.ceil(rows.length / PAGE) - 1);
  listing.page = Math.min(listing.page, last);
  const from = listing.page * PAGE, some = rows.slice(from, from + PAGE);
  const isNumeric = name => !["trial", "method", "state", "_study", "_front"].includes(name);
  const titles = shown.map(name => make("th", {scope: "col", class: isNumeric(name) && "number",
    "aria-sort": listing.by === name && (listing.falls ? "descending" : "ascending")},
  make("button", {type: "button", "data-column": name, onclick: () => {
    Object.assign(listing, {falls: listing.by === name ? !listing.falls : isTop(name) || name === "_front", by: name, page: 0});
    list();
    $("networks").querySelector(`[data-column="${name}"]`).focus();
  }}, (TITLES[name] ?? label(name)) + (listing.by === name ? (listing.falls ? " ▼" : " ▲") : ""))));
  $("networks").replaceChildren(
    make("caption", {}, `${many(rows.length, "trial")}; press a column’s title to sort by it, a trial’s name to see its recipe`),
    make("thead", {}, make("tr", {}, titles)),
    make("tbody", {}, some.map(i => make("tr", {"data-row": i, "aria-current": i === chosen && "true"}, shown.map(name => make("td",
      {class: isNumeric(name) && "number"}, name === "trial"
        ? make("button", {type: "button", "data-row": i, "aria-label": `Show trial ${trial[i]}`, onclick: () => pick(i)}, trial[i].slice(0, 8))
        : cell(name, i)))))));
  $("page").textContent = rows.length ? `rows ${from + 1} to ${from + some.length} of ${rows.length.toLocaleString("en")}` : "no rows";
  $("before").disabled = listing.page === 0;
  $("after").disabled = listing.page >= last;
}

// ---- one network
function pick(i) {
  chosen = i;
  const about = study(i), name = trial[i];
  $("details-title").textContent = `${method[i]}${column("ratio")[i] == null ? "" : ` at ratio ${column("ratio")[i]}`}`;
  $("status").textContent = `Trial ${name}${several ? ` of ${about.name}` : ""}, ${state[i]}${isFront[i] ? ", on the front" : ""}: `
    + (about.objectives.filter(one => column(one)[i] != null).map(one => `${label(one)} ${human(one, column(one)[i])}`).join(", ") || "no measures");
  const listOf = pairs => make("dl", {}, pairs.map(([term, said]) => [make("dt", {}, term), make("dd", {}, said)]));
  const known = names => names.filter(one => column(one)[i] != null && column(one)[i] !== "").map(one => [label(one), human(one, column(one)[i])]);
  const confirmed = about.confirmed[name], layers = about.widths[name], artefact = about.artefacts[name];
  const tested = confirmed && [["test accuracy", confirmed.mean.toFixed(4)
    + (confirmed.std == null ? "" : ` ± ${confirmed.std.toFixed(4)}`) + ` over ${many(confirmed.seeds, "seed")}`]];
  const recipe = data.knobs.filter(one => column(one)[i] != null && column(one)[i] !== "")
    .map(one => `${one}: ${typeof column(one)[i] === "string" ? quoted(column(one)[i]) : column(one)[i]}`).join("\n");
  const curve = make("div", {class: "chart", id: "details-chart", role: "img"});
  $("details-body").replaceChildren(...[
    column("error")[i] != null && make("p", {}, make("strong", {}, "It failed: "), column("error")[i]),
    make("h4", {}, "Recipe"), make("pre", {id: "recipe"}, recipe),
    make("h4", {}, "Measures"), listOf([...(tested || []), ...known([...Object.keys(data.measures), "ratio_achieved", "floored", "ratio_reason"])]),
    about.curves[name] && [make("h4", {}, "Learning curve"), curve],
    make("h4", {}, "Layers"), layers ? layersOf(layers) : make("p", {class: "caption"}, "Their widths are not known here: "
      + "kept are those of the front and of the most accurate networks whose channels were cut, while their stages are stored."),
    make("h4", {}, "Artefact"), artefact ? make("pre", {id: "artefact"}, artefact) : make("p", {class: "caption"}, "None has been made of this trial."),
    make("h4", {}, "How it ran"), listOf(known(["epochs", "epochs_reused", "seconds", "worker", "device", "precision", "torch"])),
  ].flat().filter(Boolean));
  $("details").scrollTop = 0;
  if (about.curves[name]) drawCurve(curve, i);
  // Not drawn anew: whoever pressed a row's button would lose their place.
  for (const row of $("networks").querySelectorAll("tbody tr")) row.toggleAttribute("aria-current", false);
  $("networks").querySelector(`tbody tr[data-row="${i}"]`)?.setAttribute("aria-current", "true");
  if (charts["front-chart"].isDrawn) drawFront($("front-chart"));
}
const quoted = text => (/^[\w][\w .+-]*$/.test(text) && isNaN(text) && !/^(true|false|null|yes|no|on|off)$/i.test(text) ? text : JSON.stringify(text));
const layersOf = layers => make("table", {id: "layers"}, make("caption", {}, "output channels of each layer"), head("layer", "before", "after", "left"),
  make("tbody", {}, layers.map(([name, before, after]) => make("tr", {}, make("th", {scope: "row"}, name), make("td", {class: "number"}, `${before}`),
    make("td", {class: "number"}, `${after}`), make("td", {}, make("span", {class: "track", role: "img", "aria-label": `${Math.round(100 * after / before)} %`},
      make("span", {class: "bar", style: `width: ${100 * after / before}%`})), ` ${Math.round(100 * after / before)} %`)))));

// Entries of a curve, each at the epoch by which it was measured: a cut's at the epoch before it.
function entries(i) {
  const held = study(i).curves[trial[i]];
  let epoch = 0;
  return held && {...held, at: held.runs.flatMap(([stage, , count]) => Array.from({length: count}, () => (stage === "cut" ? epoch : ++epoch))),
    stages: held.runs.flatMap(([stage, , count]) => Array(count).fill(stage))};
}
function drawCurve(place, i) {
  const curve = entries(i);
  const lines = [["val_accuracy", "validation", "accent", "solid", "circle"], ["train_accuracy", "training", "soft", "dot", "square"]].filter(([name]) => curve[name]);
  const cuts = curve.at.filter((_, place) => curve.stages[place] === "cut");
  plot(place, lines.map(([name, called, tone, dashed, symbol]) => ({type: "scatter", mode: "lines+markers", x: curve.at, y: curve[name], name: called,
    connectgaps: true, line: {color: shade(tone), dash: dashed, width: 2}, marker: {symbol, size: 5}, hovertemplate: `epoch %{x}: %{y}<extra>${called}</extra>`})), {
    x: {title: "epochs of this trial (dashed: a cut)"}, y: {title: "accuracy"}, showlegend: true, legend: {orientation: "h", y: 1.02, yanchor: "bottom"},
    margin: {l: 50, r: 8, t: 30, b: 40}, described: `Accuracy of trial ${trial[i]} over ${many(curve.at.at(-1), "epoch")}, at the end ${lines.map(([name, called]) => `${called} ${curve[name].at(-1)}`).join(", ")}.`,
    shapes: cuts.map(x => ({type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: {color: shade("soft"), dash: "dash", width: 1}})),
  });
}
