// What the report gains with scripts on: a table of all trials to sort, filter and save, words on what is pointed at, parts of axes to choose, one trial at a time.
// Text is only ever set as text, never as markup: names in a sweep come from strangers.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const table = document.getElementById("trials");
  if (!table) return;
  const SVG = "http://www.w3.org/2000/svg";
  const FIRST = 25, STEP = 100, MISSING = "–";
  const place = (name) => data.columns.findIndex((column) => column.name === name);
  const rank = place("rank"), trial = place("number"), state = place("state"), score = place("score"), best = place("best_epoch"), epochs = place("epochs");
  const unpacked = (cells) => (Array.isArray(cells) ? cells : cells.at.map((index) => cells.words[index]));
  for (const key of ["names", "workers", "sources", "causes"]) data[key] = unpacked(data[key]);
  data.shown = data.shown.map(unpacked);
  const numbers = data.shown[trial].map(Number);
  const row_of = new Map(numbers.map((number, row) => [number, row]));
  const view = { column: rank, down: false, words: "", state: "", most: FIRST, chosen: null };
  document.documentElement.classList.add("scripted");

  function make(tag, content, attributes) {
    const made = document.createElement(tag);
    if (content !== undefined && content !== null) made.textContent = content;
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    return made;
  }

  function draw(tag, attributes, content) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (content !== undefined) made.textContent = content;
    return made;
  }

  // ---- the table

  const text_of = numbers.map((_, row) => [...data.shown.map((cells) => cells[row]), data.names[row], data.causes[row] || ""].join("\n").toLowerCase());
  const in_words = (amount) => amount.toLocaleString("en");

  function key_of(column) {
    const cells = data.shown[column];
    // What is missing stands last, whichever way the rest is sorted; what reads the same keeps the leaderboard's order.
    if (!data.columns[column].numeric) return cells.map((words) => (words === MISSING ? null : words));
    return cells.map((words) => (words === MISSING ? null : Number(words.replaceAll(",", ""))));
  }

  function matching() {
    const words = view.words.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = numbers.map((_, row) => row).filter((row) =>
      (!view.state || data.shown[state][row] === view.state) && (!view.chosen || view.chosen.has(numbers[row])) && words.every((word) => text_of[row].includes(word)));
    const key = key_of(view.column);
    return rows.sort((a, b) => {
      const x = key[a], y = key[b];
      if (x === null || y === null) return (x === null) - (y === null) || a - b;
      const order = x < y ? -1 : x > y ? 1 : 0;
      return (view.down ? -order : order) || a - b;
    });
  }

  function show() {
    const rows = matching();
    const shown = rows.slice(0, view.most);
    const body = document.createDocumentFragment();
    for (const row of shown) {
      const line = make("tr", null, { class: "state-" + data.shown[state][row], "data-row": row });
      data.columns.forEach((column, index) => {
        const words = data.shown[index][row];
        const classes = [column.numeric ? "n" : words.length > 24 ? "long" : "", words === MISSING ? "none" : ""].filter(Boolean).join(" ");
        const cell = make("td", null, { "data-head": column.heading, ...(classes ? { class: classes } : {}) });
        if (index === state) cell.append(make("span", words, { class: "badge " + words }));
        else if (index === trial) cell.append(make("button", words, { class: "open", type: "button", "aria-haspopup": "dialog", "aria-label": "Show trial " + words }));
        else cell.textContent = words;
        line.append(cell);
      });
      body.append(line);
    }
    table.tBodies[0].replaceChildren(body);
    [...table.tHead.rows[0].cells].forEach((head, index) => {
      if (index === view.column) head.setAttribute("aria-sort", view.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    sort.value = String(view.column);
    found.textContent = (rows.length === numbers.length ? "" : in_words(rows.length) + " of ") + in_words(numbers.length) + " trials" + (view.chosen ? ", by the axes below" : "");
    clear.hidden = !view.chosen;
    const rest = rows.length - shown.length;
    more.hidden = rest <= 0;
    more.replaceChildren();
    if (rest > 0) {
      const button = make("button", "Show " + in_words(Math.min(rest, STEP)) + " more", { type: "button" });
      button.addEventListener("click", () => { view.most += STEP; show(); });
      more.append(button, make("span", in_words(rest) + " not shown"));
    }
  }

  function sort_by(column, down) {
    view.column = column;
    view.down = down;
    show();
  }

  // A text that a spreadsheet would run as a formula gets an apostrophe; a number may begin with its sign.
  function csv_cell(words) {
    const plain = words === MISSING ? "" : words;
    const safe = /^[=+\-@\t\r]/.test(plain) && Number.isNaN(Number(plain)) ? "'" + plain : plain;
    return /[",\n\r]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe;
  }

  function save() {
    const plain = (index, row) => (data.columns[index].numeric ? data.shown[index][row].replaceAll(",", "") : data.shown[index][row]);
    const lines = [data.columns.map((column) => csv_cell(column.heading)), ...matching().map((row) => data.columns.map((_, index) => csv_cell(plain(index, row))))];
    const address = URL.createObjectURL(new Blob([lines.map((line) => line.join(",")).join("\n") + "\n"], { type: "text/csv" }));
    const link = make("a", null, { href: address, download: data.name.replace(/[^\w.-]+/g, "-") + ".csv" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }

  const more = document.getElementById("more");
  const controls = document.getElementById("controls");
  const found = make("span", "", { role: "status" });
  const filter = make("label", "Filter");
  const words = make("input", null, { type: "search", placeholder: "name, value or cause", autocomplete: "off" });
  words.addEventListener("input", () => { view.words = words.value; view.most = FIRST; show(); });
  filter.append(words);
  const choose = make("label", "State");
  const choice = make("select", null, { id: "state" });
  choice.append(make("option", "all", { value: "" }), ...[...new Set(data.shown[state])].map((name) => make("option", name, { value: name })));
  choice.addEventListener("change", () => { view.state = choice.value; view.most = FIRST; show(); });
  choose.append(choice);
  const order = make("label", "Sort by");
  const sort = make("select", null, { id: "sort" });
  sort.append(...data.columns.map((column, index) => make("option", column.heading, { value: index })));
  sort.addEventListener("change", () => sort_by(Number(sort.value), first_down(Number(sort.value))));
  order.append(sort);
  const saving = make("button", "Save as CSV", { type: "button", id: "save" });
  saving.addEventListener("click", save);
  const clear = make("button", "All axes", { type: "button" });
  controls.append(filter, choose, order, saving, found, clear);
  controls.hidden = false;
  for (const note of document.querySelectorAll(".static-only")) note.remove();

  const first_down = (index) => ["score", "gain", "to_first"].includes(data.columns[index].name);
  [...table.tHead.rows[0].cells].forEach((head, index) => {
    const button = make("button", head.textContent, { type: "button" });
    button.addEventListener("click", () => sort_by(index, view.column === index ? !view.down : first_down(index)));
    head.replaceChildren(button);
  });
  table.tBodies[0].addEventListener("click", (event) => {
    const line = event.target.closest("tr");
    if (!line || String(window.getSelection())) return;
    open(numbers[Number(line.dataset.row)]);
  });

  // ---- parts of axes

  const parts = new Map();
  const threads = [...document.querySelectorAll(".threads .thread")];
  // A line passes one axis after the other: its corners are its values there.
  const heights = new Map(threads.map((thread) => [thread, thread.getAttribute("d").slice(1).split("L").map((point) => Number(point.split(" ")[1]))]));

  function choose_part(axis, index, from, to) {
    const old = parts.get(index);
    if (old) old.mark.remove();
    parts.delete(index);
    if (from !== null && Math.abs(to - from) > 3) {
      const top = Math.min(from, to), bottom = Math.max(from, to);
      const mark = draw("rect", { class: "brush-chosen", x: Number(axis.getAttribute("x")) + 6, y: top, width: 14, height: bottom - top, rx: 3 });
      axis.before(mark);
      parts.set(index, { top, bottom, mark });
    }
    const inside = (thread) => [...parts].every(([place, part]) => heights.get(thread)[place] >= part.top && heights.get(thread)[place] <= part.bottom);
    for (const thread of threads) thread.classList.toggle("out", parts.size > 0 && !inside(thread));
    view.chosen = parts.size ? new Set(threads.filter(inside).map((thread) => Number(thread.dataset.trial))) : null;
    view.most = FIRST;
    show();
  }

  [...document.querySelectorAll(".brush")].forEach((axis, index) => {
    const low = Number(axis.getAttribute("y")), high = low + Number(axis.getAttribute("height"));
    const at = (event) => {
      const box = axis.getBoundingClientRect();
      return Math.max(low, Math.min(high, low + ((event.clientY - box.top) / box.height) * (high - low)));
    };
    let from = null;
    axis.addEventListener("pointerdown", (event) => { from = at(event); axis.setPointerCapture(event.pointerId); event.preventDefault(); });
    axis.addEventListener("pointermove", (event) => { if (from !== null) choose_part(axis, index, from, at(event)); });
    axis.addEventListener("pointerup", (event) => { if (from !== null) choose_part(axis, index, from, at(event)); from = null; });
    axis.addEventListener("pointercancel", () => { from = null; });
    // By keyboard: up and down move a quarter of the axis along, Escape takes it away.
    axis.setAttribute("tabindex", "0");
    axis.setAttribute("role", "button");
    axis.setAttribute("aria-label", "Choose a part of " + axis.dataset.axis + ": arrow keys move it, Escape clears it");
    axis.addEventListener("keydown", (event) => {
      const part = parts.get(index), step = (high - low) / 8;
      if (event.key === "Escape") choose_part(axis, index, null, null);
      else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
        const begin = part ? part.top + (event.key === "ArrowUp" ? -step : step) : event.key === "ArrowUp" ? low : high - 2 * step;
        const top = Math.max(low, Math.min(high - 2 * step, begin));
        choose_part(axis, index, top, top + 2 * step);
      } else return;
      event.preventDefault();
    });
  });
  clear.addEventListener("click", () => { for (const [index] of [...parts]) choose_part(document.querySelectorAll(".brush")[index], index, null, null); });
  show();

  // ---- words on what is pointed at

  const tip = document.getElementById("tip");
  for (const title of document.querySelectorAll("svg title")) {
    title.parentNode.dataset.words = title.textContent;
    title.remove();
  }

  function words_of(row) {
    if (row === undefined) return "";
    const cell = (column) => data.shown[column][row];
    return data.names[row] + ": " + cell(score) + (cell(best) === MISSING ? "" : ", epoch " + cell(best) + " of " + cell(epochs)) + ", " + cell(state);
  }

  function mark_trial(number) {
    for (const old of document.querySelectorAll("[data-trial].chosen")) old.classList.remove("chosen");
    for (const old of document.querySelectorAll("svg.lit")) old.classList.remove("lit");
    if (number === null) return;
    for (const one of document.querySelectorAll('[data-trial="' + number + '"]')) {
      one.classList.add("chosen");
      one.ownerSVGElement.classList.add("lit");
    }
  }

  let marked = null;
  document.addEventListener("pointermove", (event) => {
    const target = event.target.closest ? event.target.closest("svg [data-words], svg [data-trial]") : null;
    const number = target && target.dataset.trial !== undefined ? Number(target.dataset.trial) : null;
    if (number !== marked) {
      marked = number;
      mark_trial(number);
    }
    const said = target && (target.dataset.words || words_of(row_of.get(number)));
    tip.hidden = !said;
    if (!said) return;
    tip.textContent = said;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(8, Math.min(event.clientX + 14, innerWidth - box.width - 8)) + "px";
    tip.style.top = (event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 12 : event.clientY + 18) + "px";
  });
  document.addEventListener("pointerleave", () => { tip.hidden = true; });
  document.addEventListener("click", (event) => {
    const target = event.target.closest("svg [data-trial]");
    if (target) open(Number(target.dataset.trial));
  });

  // ---- one trial

  const dialog = document.getElementById("trial");

  function facts(pairs) {
    const list = make("dl", null, { class: "settings" });
    for (const [name, value] of pairs) {
      if (value === null || value === undefined || value === "" || value === MISSING) continue;
      const item = make("div");
      item.append(make("dt", name), make("dd", value));
      list.append(item);
    }
    return list;
  }

  function open(number) {
    const row = row_of.get(number);
    if (row === undefined) return;
    tip.hidden = true;
    const [seed, worker, source, cause] = [data.seeds[row], data.workers[row], data.sources[row], data.causes[row]];
    const head = make("header");
    const close = make("button", "Close", { type: "button" });
    close.addEventListener("click", () => dialog.close());
    head.append(make("h2", data.names[row] + (data.names[row] === "trial " + number ? "" : " (trial " + number + ")")), close);
    const cells = data.columns.map((column, index) => [column.name, column.heading, data.shown[index][row]]);
    const known = cells.filter(([name]) => name !== "number" && name !== "baseline" && !name.startsWith("config.")).map(([, heading, value]) => [heading, value]);
    const settings = cells.filter(([name]) => name.startsWith("config.")).map(([, heading, value]) => [heading, value]);
    const parts = [head, facts([...known, ["seed", seed], ["worker", worker], ["proposed", source]])];
    if (cause) parts.push(make("p", "It ended early. " + cause));
    parts.push(make("h3", "Configuration"), facts([...settings, ...(settings.some(([, value]) => value !== MISSING) ? data.fixed : [])]));
    const curves = data.curves[number];
    if (curves) parts.push(pictures(curves));
    else parts.push(make("p", "Its learning curves are in leaderboard.parquet; this page holds those of the best trials.", { class: "quiet" }));
    dialog.replaceChildren(...parts);
    if (!dialog.open) dialog.showModal();
    mark_trial(number);
  }
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => { mark_trial(null); marked = null; });

  function pictures(curves) {
    const holder = make("div", null, { class: "figures" });
    const left = new Set(Object.keys(curves));
    const names = [data.metric, ...left].filter((name) => left.has(name));
    for (const name of names) {
      if (!left.has(name)) continue;
      const base = name.replace(/^val_/, "");
      const pair = ["val_" + base, base].filter((one) => left.has(one));
      pair.forEach((one) => left.delete(one));
      const picture = pair.length ? plot(base, pair, curves) : null;
      if (picture) holder.append(picture);
    }
    return holder;
  }

  function plot(title, names, curves) {
    const values = names.flatMap((name) => curves[name]).filter((value) => value !== null);
    const epochs = Math.max(...names.map((name) => curves[name].length));
    if (!values.length) return null;
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const x = (epoch) => 56 + (epochs > 1 ? (epoch - 1) / (epochs - 1) : 0.5) * 278;
    const y = (value) => 166 - (high > low ? (value - low) / (high - low) : 0.5) * 134;
    const svg = draw("svg", { viewBox: "0 0 350 205", role: "img", "aria-label": title + " by epoch, from " + low + " to " + high });
    for (const value of high > low ? [low, high] : [low]) {
      svg.append(draw("line", { class: "grid", x1: 56, x2: 334, y1: y(value), y2: y(value) }), draw("text", { class: "tick", x: 50, y: y(value) + 4, "text-anchor": "end" }, value.toPrecision(4)));
    }
    for (const epoch of new Set([1, epochs])) svg.append(draw("text", { class: "tick", x: x(epoch), y: 184, "text-anchor": "middle" }, String(epoch)));
    svg.append(draw("text", { class: "tick", x: 193, y: 200, "text-anchor": "middle" }, "epoch"));
    names.forEach((name, index) => {
      let path = "", on = false;
      curves[name].forEach((value, at) => {
        if (value !== null) path += (on ? "L" : "M") + x(at + 1).toFixed(1) + " " + y(value).toFixed(1) + (curves[name].length === 1 ? "h3" : "");
        on = value !== null;
      });
      svg.append(draw("path", { class: index ? "line-b" : "line-a", d: path }));
      svg.append(draw("path", { class: index ? "line-b" : "line-a", d: "M" + (52 + 120 * index) + " 12h16" }), draw("text", { class: "tick", x: 73 + 120 * index, y: 16 }, name));
    });
    const figure = make("figure");
    figure.append(svg);
    return figure;
  }
})();
