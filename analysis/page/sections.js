// The sections below the front, and what sets the page up; report.js, which comes before, has what they are made of.
"use strict";

// ---- hypervolume over cost
function drawProgress(place) {
  const cost = $("cost").value, grown = data.studies.filter(one => one.progress && !hidden.study.has(one.name));
  const why = data.studies.filter(one => !one.progress).map(one => `${one.name}: ${one.notes.join("; ")}`).join(". ");
  if (!data.studies.some(one => one.progress)) return emptied(place, `There is none. ${why}`);
  const ends = grown.map(one => `${several ? `${one.name}: ` : ""}${one.progress.hypervolume.at(-1).toFixed(3)} after ${one.progress[cost].at(-1).toLocaleString("en")}`);
  const called = $("cost").selectedOptions[0].textContent;
  $("progress-caption").textContent = `Share of the space between the dense network and the ideal that the front dominates: ${ends.join("; ")} ${called}. `
    + (several ? "One run of each: no study is shown to be better by this alone. " : "") + why;
  return plot(place, grown.map(one => ({type: "scatter", mode: "lines+markers", x: [0, ...one.progress[cost]], y: [0, ...one.progress.hypervolume], name: safe(one.name),
    line: {shape: "hv", color: colour(one.name, "study"), dash: dash(one.name, "study"), width: 2.2},
    marker: {symbol: data.marks.study[one.name].symbol, size: 6}, hovertemplate: `%{x} ${called}: %{y:.4f}<extra>${safe(one.name)}</extra>`})), {
    x: {title: `${called}, all trials of the study together`}, y: {title: "normalised hypervolume (better ↑)", rangemode: "tozero"}, showlegend: several,
    described: `Hypervolume over ${called}: ${ends.join("; ")}.`});
}

// ---- importance
function drawImportance(place) {
  const found = data.studies.flatMap(one => one.importance.map(each => ({...each, study: one.name}))).filter(one => one.objective === $("objective").value);
  const knobs = found.filter(one => one.knobs.length);
  const told = found.map(one => one.note);
  if (!knobs.length) return emptied(place, told.join(" "));
  place.hidden = false;
  const rows = [...new Set(knobs.flatMap(one => one.knobs.map(knob => knob.name)))].reverse();
  place.style.height = `${110 + rows.length * (16 + 12 * knobs.length)}px`;
  $("importance-caption").textContent = `The share of its variance that is left when all knobs but this one are known; bars are 95 % intervals, and one that reaches 0 may be noise. `
    + knobs.map(one => (several ? `${one.study}: ${one.note}` : one.note)).join(" ");
  return plot(place, knobs.map(one => ({type: "bar", orientation: "h", y: one.knobs.map(knob => safe(knob.name)), x: one.knobs.map(knob => knob.share), name: safe(one.study),
    marker: {color: colour(one.study, "study"), pattern: {shape: ["", "/", ".", "x"][names.study.indexOf(one.study) % 4]}, line: {color: shade("ink"), width: 0.6}},
    error_x: {type: "data", symmetric: false, color: shade("ink"), thickness: 1.2,
      array: one.knobs.map(knob => knob.high - knob.share), arrayminus: one.knobs.map(knob => knob.share - knob.low)}, hovertemplate: "%{y}: %{x:.3f}<extra></extra>"})), {
    x: {title: `importance for ${label($("objective").value)}`, rangemode: "tozero"}, y: {categoryorder: "array", categoryarray: rows.map(safe)}, showlegend: several, barmode: "group",
    described: `Importance for ${label($("objective").value)}: ${knobs[0].knobs.map(knob => `${knob.name} ${knob.share.toFixed(2)}`).join(", ")}.`});
}

// ---- methods by ratio
const BIN = 0.1, binOf = ratio => Math.min(Math.floor(ratio / BIN + 1e-9), Math.ceil(1 / BIN) - 1);
function drawRatios(place) {
  const measure = $("by-ratio").value, middle = $("middle").value, ratio = column("ratio");
  const rows = complete.filter(i => isShown(i) && isNumber(ratio[i]) && isNumber(column(measure)[i]) && ratio[i] >= 0 && ratio[i] <= 1);
  if (!rows.length) return emptied(place, "No complete network has a ratio.");
  place.hidden = false;
  const groups = names[by].map(name => {
    const bins = new Map();
    rows.filter(i => kindOf(i) === name).forEach(i => bins.set(binOf(ratio[i]), [...(bins.get(binOf(ratio[i])) ?? []), column(measure)[i]]));
    return [name, [...bins].sort(([a], [b]) => a - b).map(([bin, values]) => ({bin, sorted: values.sort((a, b) => a - b)}))];
  }).filter(([, bins]) => bins.length);
  const middleOf = ({sorted}) => (middle === "median" ? quantile(sorted, 0.5) : isTop(measure) ? sorted.at(-1) : sorted[0]);
  const centre = bin => (bin + 0.5) * BIN;
  plot(place, groups.map(([name, bins], place) => {
    const middles = bins.map(middleOf), aside = (place - (groups.length - 1) / 2) * BIN / 20;
    return {type: "scatter", mode: "lines+markers", x: bins.map(({bin}) => centre(bin) + aside), y: middles, name: safe(name),
      line: {color: colour(name), dash: dash(name), width: 2}, marker: {symbol: data.marks[by][name].symbol, size: 10, line: {color: shade("ink"), width: 0.8}},
      error_y: middle === "median" ? {type: "data", symmetric: false, thickness: 1, width: 3, color: colour(name),
        array: bins.map(({sorted}, k) => quantile(sorted, 0.75) - middles[k]), arrayminus: bins.map(({sorted}, k) => middles[k] - quantile(sorted, 0.25))} : {},
      text: bins.map(({bin, sorted}) => `ratio ${(bin * BIN).toFixed(1)} to ${((bin + 1) * BIN).toFixed(1)}, ${many(sorted.length, "network")}`),
      hovertemplate: `<b>${safe(name)}</b><br>%{text}: %{y}<extra></extra>`};
  }), {x: {title: "ratio asked for, in tenths", dtick: BIN}, y: {title: axis(measure, UP)}, showlegend: true,
    described: `${middle} of ${label(measure)} by ratio; the same numbers are in the table below.`});
  $("ratios-caption").textContent = (middle === "median" ? "Bars reach from the lower to the upper quartile. " : "")
    + "A ratio is of weights for methods that cut weights, and of channels for those that cut channels. Points of one tenth stand beside one another.";
  const bins = [...new Set(groups.flatMap(([, own]) => own.map(({bin}) => bin)))].sort((a, b) => a - b);
  $("ratios-table").replaceChildren(make("caption", {}, `${middle} of ${label(measure)} (networks)`), head(by, ...bins.map(bin => `${(bin * BIN).toFixed(1)}–${((bin + 1) * BIN).toFixed(1)}`)),
    make("tbody", {}, groups.map(([name, own]) => make("tr", {}, make("th", {scope: "row"}, name), bins.map(bin => {
      const found = own.find(one => one.bin === bin);
      return make("td", {class: "number"}, found ? `${human(measure, middleOf(found))} (${found.sorted.length})` : "–");
    })))));
  return undefined;
}

// ---- learning curves
const LINES = 300;
function drawLearning(place) {
  const measure = $("curve").value;
  const having = all.filter(i => study(i).curves[trial[i]]?.[measure] && isShown(i) && method[i] !== "dense");
  if (!having.length) return emptied(place, "No learning curves are shown: the study left none, or their methods are switched off.");
  place.hidden = false;
  const stride = Math.ceil(having.length / LINES);
  const some = having.filter((i, rank) => rank % stride === 0 || isFront[i]);
  const stops = some.filter(i => state[i] === "stopped");
  const end = i => [entries(i).at.at(-1), study(i).curves[trial[i]][measure].at(-1)];
  const traces = [];
  for (const name of names[by]) {
    const own = some.filter(i => kindOf(i) === name), symbol = data.marks[by][name].symbol;
    for (const strong of [false, true]) {
      const rows = own.filter(i => Boolean(isFront[i]) === strong), curves = rows.map(entries);
      if (rows.length) traces.push({type: "scatter", mode: "lines", name: safe(name), showlegend: false, opacity: strong ? 1 : 0.3,
        x: curves.flatMap(one => [...one.at, null]), y: curves.flatMap(one => [...one[measure], null]), line: {color: colour(name), width: strong ? 2 : 1},
        customdata: rows.flatMap((i, k) => Array(curves[k].at.length + 1).fill(i)), text: rows.flatMap((i, k) => Array(curves[k].at.length + 1).fill(hover(i))),
        hovertemplate: "%{text}<br>epoch %{x}: %{y}<extra></extra>"});
    }
    if (own.length) traces.push({type: "scatter", mode: "markers", name: safe(name), x: own.map(i => end(i)[0]), y: own.map(i => end(i)[1]), customdata: own, text: own.map(hover),
      hovertemplate: "%{text}<br>at its end, epoch %{x}: %{y}<extra></extra>", marker: {symbol, size: 7, color: colour(name), line: {color: shade("ink"), width: 0.5}}});
  }
  if (stops.length) traces.push({type: "scatter", mode: "markers", name: "stopped", x: stops.map(i => end(i)[0]), y: stops.map(i => end(i)[1]), customdata: stops, text: stops.map(hover),
    hovertemplate: "%{text}<br>stopped at epoch %{x}: %{y}<extra></extra>", marker: {symbol: "x", size: 9, color: shade("ink"), line: {color: shade("paper"), width: 1}}});
  const told = `${many(some.length, "learning curve")} of ${having.length.toLocaleString("en")}, ${stops.length ? `${stops.length} stopped early, each marked with a cross` : "none stopped early"}`;
  $("learning-caption").textContent = `${told}. Strong lines are on the front; marks are where trials ended. Epochs are those of the trial itself, after dense training. ${data.studies.flatMap(one => one.notes).filter(note => note.includes("curve")).join(" ")}`;
  plot(place, traces, {x: {title: "epochs of a trial"}, y: {title: axis(measure, UP)}, showlegend: true, described: `${told}: ${label(measure)} over epochs.`});
  if (!place.isListening) {
    place.isListening = true;
    place.on("plotly_click", event => event.points[0].customdata !== undefined && pick(event.points[0].customdata));
  }
  return undefined;
}

// ---- controls
const points = value => `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(4)}`;
function drawRandom(place) {
  const found = data.studies.filter(one => !hidden.study.has(one.name)).flatMap(one => one.random.map(row => ({...row, study: one.name}))).filter(row => !hidden.method.has(row.method));
  const called = row => (several ? `${row.method} · ${row.study}` : row.method);
  if (!found.length) {
    $("random-table").replaceChildren();
    return emptied(place, "Nothing to compare with: no complete random-channels networks of like sparsity. Add random-channels to search.methods to have this control.");
  }
  place.hidden = false;
  place.style.height = `${110 + 34 * found.length}px`;
  const wins = found.map(row => `${called(row)}: median ${points(row.median)}, above in ${row.above} of ${row.networks}`);
  $("random-caption").textContent = "Validation accuracy of each network less the mean of the random-channels networks whose sparsity is within .025 of its own; marked is the median, bars reach from the lower to the upper quartile. "
    + "Networks of one study share their dense network and seed: the spread over seeds is not in these bars.";
  plot(place, [{type: "scatter", mode: "markers", x: found.map(row => row.median), y: found.map(row => safe(called(row))), text: wins.map(safe), hovertemplate: "%{text}<extra></extra>",
    marker: {size: 12, symbol: found.map(row => data.marks.method[row.method].symbol), color: found.map(row => colour(row.method, "method")), line: {color: shade("ink"), width: 1}},
    error_x: {type: "data", symmetric: false, color: shade("ink"), thickness: 1.4, array: found.map(row => row.high - row.median), arrayminus: found.map(row => row.median - row.low)}}], {
    x: {title: "validation accuracy above random (better →)", zeroline: true, zerolinewidth: 2, zerolinecolor: shade("soft"), rangemode: "tozero"}, y: {range: [found.length - 0.4, -0.6]},
    described: `Accuracy above random channels. ${wins.join("; ")}.`});
  $("random-table").replaceChildren(head("method", "networks compared", "more accurate than random", "median difference", "quartiles"), make("tbody", {}, found.map(row =>
    make("tr", {}, make("th", {scope: "row"}, called(row)), make("td", {class: "number"}, `${row.networks}`), make("td", {class: "number"}, `${row.above}`),
      make("td", {class: "number"}, points(row.median)), make("td", {class: "number"}, `${points(row.low)} to ${points(row.high)}`)))));
  return undefined;
}
function tellScratch() {
  const pairs = data.studies.flatMap(one => one.scratch);
  const apart = pairs.map(pair => pair.recovered - pair.scratch), mean = apart.reduce((sum, one) => sum + one, 0) / apart.length;
  $("scratch-caption").textContent = pairs.length ? `${many(pairs.length, "pair")} of trials that differ in nothing but control: recovered networks are more accurate by ${points(mean)} in the mean `
    + `(from ${points(Math.min(...apart))} to ${points(Math.max(...apart))}).` : "No pairs of trials differ in nothing but control. Add control: [none, scratch] to search.recipe to have this control.";
  if (pairs.length) $("scratch-table").replaceChildren(head("method", "ratio", "recovered", "trained anew", "difference"), make("tbody", {}, pairs.slice(0, 50).map((pair, k) =>
    make("tr", {}, make("th", {scope: "row"}, pair.method), ...[`${pair.ratio ?? ""}`, pair.recovered.toFixed(4), pair.scratch.toFixed(4), points(apart[k])].map(text => make("td", {class: "number"}, text))))));
}

// ---- failures, environment, what is said at the top
function tellFailures() {
  const failed = data.studies.flatMap((one, place) => one.failures.map(group => ({...group, place})));
  const count = failed.reduce((sum, group) => sum + group.count, 0);
  $("failures-caption").textContent = count ? `${many(count, "trial")} of ${data.rows.toLocaleString("en")} failed, for ${many(failed.length, "reason")}; numbers in messages count as alike.` : "No trial failed.";
  if (!count) return;
  $("failures-table").replaceChildren(head("trials", "reason", "methods", ...(several ? ["study"] : []), "for example"), make("tbody", {}, failed.map(group => make("tr", {},
    make("td", {class: "number"}, `${group.count}`), make("td", {class: "wide"}, group.error), make("td", {}, Object.entries(group.methods).map(([name, times]) => `${name} (${times})`).join(", ")),
    several && make("td", {}, data.studies[group.place].name), make("td", {}, group.trials.slice(0, 3).map(name => make("button", {type: "button", "aria-label": `Show trial ${name}`,
      onclick: () => { pick(all.find(i => trial[i] === name && studyOf[i] === group.place)); $("details").focus(); }}, name.slice(0, 8))))))));
}
function tellEnvironment() {
  $("environment-body").replaceChildren(...data.studies.flatMap(one => [
    several && make("h3", {}, one.name),
    make("dl", {}, [["folder", one.path], ...one.environment, ["schema of the rows", String(data.schema)]].map(([term, said]) => [make("dt", {}, term), make("dd", {}, said)])),
    one.spec && make("details", {}, make("summary", {}, `spec.yaml${several ? ` of ${one.name}` : ""}`), make("pre", {}, one.spec)),
  ].filter(Boolean)));
}
function tellSummary() {
  $("summary").replaceChildren(...data.studies.flatMap(one => {
    const {rows, complete: whole, stopped, failed, front, left_out: lacking, unmet} = one.counts;
    const aims = one.objectives.map(name => `${label(name)} ${isTop(name) ? "↑ (higher is better)" : "↓ (lower is better)"}`).join(", ");
    return [`${several ? `${one.name}: ` : ""}${many(rows, "trial")}: ${whole} complete, ${stopped} stopped, ${failed} failed; ${front} on the front`
      + (one.hypervolume == null ? "" : `; normalised hypervolume ${one.hypervolume.toFixed(3)}`) + ".",
    `Objectives: ${aims}. ${one.constraints.length ? `Constraints: ${one.constraints.join(" and ")}` : "No constraints"}.`,
    (lacking || unmet) && `Not compared: ${lacking} complete without a finite number for each objective, ${unmet} that do not meet the constraints.`, ...one.notes,
    one.zeros && `Zeros among the weights: ${one.zeros}.`];
  }).filter(Boolean).map(line => make("li", {}, line)));
  $("made").textContent = `Made by prunefront, ${data.made}. This file needs no network and sends nothing anywhere.`;
}

// ---- light, dark, print
const darkens = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme || (darkens.matches ? "dark" : "light")) === "dark";
function tellTheme() {
  $("theme").textContent = isDark() ? "Light colours" : "Dark colours";
  redraw();
  if (chosen !== null && $("details-chart")?.data) drawCurve($("details-chart"), chosen);
}
const PAPER = 700;
let themeOnScreen;
function forPaper(isPrinting) {
  if (isPrinting) themeOnScreen = document.documentElement.dataset.theme;
  if (isPrinting || themeOnScreen) document.documentElement.dataset.theme = isPrinting ? "light" : themeOnScreen;
  else delete document.documentElement.dataset.theme;
  Object.entries(charts).forEach(([id, one]) => { if (!one.isDrawn) show(id); });
  tellTheme();
  for (const drawn of document.querySelectorAll(".chart.js-plotly-plot:not([hidden])"))
    Plotly.relayout(drawn, isPrinting ? {width: PAPER, height: Math.min(drawn.clientHeight, 400)} : {width: null, height: null, autosize: true});
}

// ---- begin
choose("x", {measures: measured, knobs: numeric}, firstX);
choose("y", {measures: measured, knobs: numeric}, firstY);
choose("by-ratio", {"": measured}, firstY);
choose("curve", {"": ["val_accuracy", "train_accuracy", "val_loss", "train_loss"]});
choose("objective", {"": [...new Set(data.studies.flatMap(one => one.importance.map(each => each.objective)))]});
$("log-x").checked = Boolean(firstX) && isWide(firstX);
$("marks-choice").hidden = $("studies").hidden = !several;
for (const id of ["x", "y", "log-x", "log-y"]) $(id).addEventListener("change", () => { list(); drawFront($("front-chart")); });
$("marks").addEventListener("change", () => { by = $("marks").value; legends(); redraw(); });
$("cost").addEventListener("change", () => drawProgress($("progress-chart")));
$("objective").addEventListener("change", () => drawImportance($("importance-chart")));
for (const id of ["middle", "by-ratio"]) $(id).addEventListener("change", () => drawRatios($("ratios-chart")));
$("curve").addEventListener("change", () => drawLearning($("learning-chart")));
for (const id of ["listed", "search"]) $(id).addEventListener("input", () => { listing.page = 0; list(); });
$("before").addEventListener("click", () => { listing.page -= 1; list(); });
$("after").addEventListener("click", () => { listing.page += 1; list(); });
$("zoom-in").addEventListener("click", () => zoom(0.6));
$("zoom-out").addEventListener("click", () => zoom(1 / 0.6));
$("zoom-reset").addEventListener("click", () => Plotly.relayout("front-chart", {"xaxis.autorange": true, "yaxis.autorange": true}));
$("theme").addEventListener("click", () => { document.documentElement.dataset.theme = isDark() ? "light" : "dark"; tellTheme(); });
darkens.addEventListener("change", tellTheme);
addEventListener("beforeprint", () => forPaper(true));
addEventListener("afterprint", () => forPaper(false));

tellSummary();
legends();
tellFailures();
tellScratch();
tellEnvironment();
list();
tellTheme();
chart("front-chart", drawFront);
const opened = Promise.resolve(show("front-chart"));
chart("progress-chart", drawProgress);
chart("importance-chart", drawImportance);
chart("ratios-chart", drawRatios);
chart("learning-chart", drawLearning);
chart("random-chart", drawRandom);
// For tests and benchmarks: milliseconds from the start of the navigation until the front was there to be painted.
opened.then(() => { document.documentElement.dataset.ready = String(Math.round(performance.now())); });
