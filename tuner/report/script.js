// What the report gains with scripts on: a table of all trials to sort and filter, words on what is pointed at, and one trial at a time.
// Text is only ever set as text, never as markup: names in a sweep come from strangers.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const table = document.getElementById("trials");
  if (!table) return;
  const SVG = "http://www.w3.org/2000/svg";
  const row_of = new Map(data.numbers.map((number, row) => [number, row]));
  const rank = data.columns.findIndex((column) => column.name === "rank");
  const trial = data.columns.findIndex((column) => column.name === "number");
  const state = data.columns.findIndex((column) => column.name === "state");
  const view = { column: rank, down: false, words: "", state: "", most: data.first };
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

  const text_of = data.shown.map((cells, row) => [...cells, data.names[row], data.more[row][3] || ""].join("\n").toLowerCase());

  function matching() {
    const words = view.words.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = data.numbers.map((_, row) => row).filter((row) => (!view.state || data.states[row] === view.state) && words.every((word) => text_of[row].includes(word)));
    const { column, down } = view;
    const numeric = data.columns[column].numeric;
    const key = (row) => (numeric ? data.values[row][column] : data.shown[row][column]);
    // What is missing stands last, whichever way the rest is sorted; equal ones keep the leaderboard's order.
    const missing = (value) => value === null || value === "–";
    return rows.sort((a, b) => {
      const x = key(a), y = key(b);
      if (missing(x) || missing(y)) return missing(x) - missing(y) || a - b;
      const order = numeric ? x - y : x < y ? -1 : x > y ? 1 : 0;
      return (down ? -order : order) || a - b;
    });
  }

  function show() {
    const rows = matching();
    const shown = rows.slice(0, view.most);
    const body = document.createDocumentFragment();
    for (const row of shown) {
      const line = make("tr", null, { class: "state-" + data.states[row], "data-row": row });
      data.columns.forEach((column, index) => {
        const cell = make("td", null, column.numeric ? { class: "n" } : {});
        const words = data.shown[row][index];
        if (index === state) cell.append(make("span", words, { class: "badge " + data.states[row] }));
        else if (index === trial) cell.append(make("button", words, { class: "open", type: "button", "aria-haspopup": "dialog", "aria-label": "Show trial " + words }));
        else cell.textContent = words;
        if (!column.numeric && words.length > 24) cell.setAttribute("class", "long");
        line.append(cell);
      });
      body.append(line);
    }
    table.tBodies[0].replaceChildren(body);
    [...table.tHead.rows[0].cells].forEach((head, index) => {
      if (index === view.column) head.setAttribute("aria-sort", view.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    found.textContent = rows.length === data.numbers.length ? rows.length.toLocaleString("en") + " trials" : rows.length.toLocaleString("en") + " of " + data.numbers.length.toLocaleString("en") + " trials";
    const rest = rows.length - shown.length;
    more.hidden = rest <= 0;
    more.replaceChildren();
    if (rest > 0) {
      const button = make("button", "Show " + Math.min(rest, 500).toLocaleString("en") + " more", { type: "button" });
      button.addEventListener("click", () => { view.most += 500; show(); });
      more.append(button, make("span", rest.toLocaleString("en") + " not shown"));
    }
  }

  const more = document.getElementById("more");
  const controls = document.getElementById("controls");
  const found = make("span", "", { role: "status" });
  const filter = make("label", "Filter");
  const words = make("input", null, { type: "search", placeholder: "name, value or cause", autocomplete: "off" });
  words.addEventListener("input", () => { view.words = words.value; view.most = data.first; show(); });
  filter.append(words);
  const choose = make("label", "State");
  const choice = make("select");
  choice.append(make("option", "all", { value: "" }), ...[...new Set(data.states)].map((name) => make("option", name, { value: name })));
  choice.addEventListener("change", () => { view.state = choice.value; view.most = data.first; show(); });
  choose.append(choice);
  controls.append(filter, choose, found);
  controls.hidden = false;
  for (const note of document.querySelectorAll(".static-only")) note.remove();

  [...table.tHead.rows[0].cells].forEach((head, index) => {
    const button = make("button", head.textContent, { type: "button" });
    button.addEventListener("click", () => {
      view.down = view.column === index ? !view.down : data.columns[index].name === "score" || data.columns[index].name === "gain";
      view.column = index;
      show();
    });
    head.replaceChildren(button);
  });
  table.tBodies[0].addEventListener("click", (event) => {
    const line = event.target.closest("tr");
    if (!line || String(window.getSelection())) return;
    open(data.numbers[Number(line.dataset.row)]);
  });
  show();

  // ---- words on what is pointed at

  const tip = document.getElementById("tip");
  for (const title of document.querySelectorAll("svg title")) {
    title.parentNode.dataset.words = title.textContent;
    title.remove();
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
    const said = target && (target.dataset.words || data.names[row_of.get(number)]);
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
      if (value === null || value === undefined || value === "" || value === "–") continue;
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
    const [seed, worker, source, cause] = data.more[row];
    const head = make("header");
    const close = make("button", "Close", { type: "button" });
    close.addEventListener("click", () => dialog.close());
    head.append(make("h2", data.names[row] + (data.names[row] === "trial " + number ? "" : " (trial " + number + ")")), close);
    const cells = data.columns.map((column, index) => [column.name, column.heading, data.shown[row][index]]);
    const known = cells.filter(([name]) => name !== "number" && name !== "baseline" && !name.startsWith("config.")).map(([, heading, value]) => [heading, value]);
    const settings = cells.filter(([name]) => name.startsWith("config.")).map(([, heading, value]) => [heading, value]);
    const parts = [head, facts([...known, ["seed", seed], ["worker", worker], ["proposed", source]])];
    if (cause) parts.push(make("p", "It ended early. " + cause));
    parts.push(make("h3", "Configuration"), facts([...settings, ...(settings.some(([, value]) => value !== "–") ? data.fixed : [])]));
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
