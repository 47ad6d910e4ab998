"use strict";
// The images of a report: filters, the threshold slider, cards, and a closer look at one image.
// Text of the data is only ever set as text, never as markup.

(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const { index, runs, positions } = data;
  const hasTruth = index.marks.some((marks) => marks[0]);
  const scored = index.marks.some((marks) => marks[0] && marks[0][1].length);
  const marks = camtoolMarks(data);
  const { GT_KNOWN, TOP1, OWN, counted, iouOf } = marks;
  const TITLES = ["GT-known localization", "top-1 localization"];
  const at = (id) => document.getElementById(id);
  const state = { position: OWN, list: [], page: 0, selected: -1, open: -1, className: null };
  const figureShown = () => (at("which").value === "true" ? GT_KNOWN : TOP1);
  const rightOf = (image, run) => marks.rightOf(image, run, figureShown(), state.position);
  const kindOf = (image, run) => marks.kindOf(image, run, figureShown());
  const pictures = camtoolPictures(data, state, rightOf);
  const { NAME, SCORE, RANK, TRUE, made, frame, drawHeat, drawBoxes, shownClass, boxesOf, overlapOf } = pictures;

  // ── data ──────────────────────────────────────────────────────────────────────────────────
  const blocks = new Map();
  const waiting = new Map();
  const MOST_BLOCKS = 64;

  window.camtoolBlock = (number, records) => {
    if (blocks.size >= MOST_BLOCKS) blocks.delete(blocks.keys().next().value);
    blocks.set(number, records);
    const done = waiting.get(number);
    waiting.delete(number);
    if (done) for (const one of done) one();
  };

  function loaded(number) {
    if (blocks.has(number)) return Promise.resolve();
    if (!data.assets) {
      const held = at(`block-${number}`);
      window.camtoolBlock(number, JSON.parse(held.textContent));
      return Promise.resolve();
    }
    return new Promise((done) => {
      if (waiting.has(number)) return waiting.get(number).push(done);
      waiting.set(number, [done]);
      const script = document.createElement("script");
      script.src = `${data.assets}/blocks/${number}.js`;
      script.onerror = () => window.camtoolBlock(number, []);
      document.head.append(script);
    });
  }

  const MISSING = { size: null, truth: [], why: "the folder of this page's images is not beside it", runs: [] };

  async function records(images) {
    await Promise.all([...new Set(images.map((i) => Math.floor(i / data.block)))].map(loaded));
    return images.map((i) => (blocks.get(Math.floor(i / data.block)) || [])[i % data.block] || MISSING);
  }

  // What all names begin with, up to a folder, is left out of the cards.
  const common = (() => {
    let folder = index.ids.length ? index.ids[0].replace(/[^/]*$/, "") : "";
    for (const id of index.ids) while (!id.startsWith(folder)) folder = folder.replace(/[^/]*\/$/, "");
    return folder.length;
  })();
  const briefly = (image) => index.ids[image].slice(common);

  const percent = (share) => `${(100 * share).toFixed(1)} %`;

  // ── cards ─────────────────────────────────────────────────────────────────────────────────
  function tagsOf(image, record) {
    return runs.map((run, r) => {
      const tags = [];
      const right = rightOf(image, r), kind = kindOf(image, r);
      const name = runs.length > 1 ? `${r + 1}: ` : "";
      if (right !== null) tags.push(made("span", { className: `tag ${right ? "right" : "wrong"}`, textContent: `${name}${right ? "✓ right" : "✗ wrong"}` }));
      if (state.position === OWN && kind) tags.push(made("span", { className: "tag", textContent: data.kinds[kind] }));
      const overlap = overlapOf(record, r);
      if (overlap !== null) tags.push(made("span", { className: "tag", textContent: `IoU ${overlap.toFixed(2)}` }));
      return made("span", { className: "tags" }, ...tags);
    });
  }

  function card(image, record) {
    const found = shownClass(record, 0);
    const frames = runs.map((_, r) => made("span", { className: "side" }, frame(image, record, r)));
    const open = made("button", { type: "button", className: "open" }, ...frames);
    open.setAttribute("aria-label", `look closer at ${index.ids[image]}`);
    open.addEventListener("click", () => look(image));
    const what = record.error ? record.error : found ? `${found[NAME]}${found[SCORE] === null ? "" : `, ${percent(found[SCORE])}`}` : "no class";
    const tags = made("span", {}, ...tagsOf(image, record));
    const caption = made("figcaption", {},
      made("span", { className: "name", textContent: briefly(image), title: index.ids[image] }),
      made("span", { className: "what", textContent: what }), tags);
    const node = made("figure", { className: "card" }, open, caption);
    node.dataset.image = image;
    Object.assign(node, { image, record, tags });
    return node;
  }

  const PAGE = data.block;
  let drawing = 0;

  async function showPage() {
    const mine = ++drawing;
    const images = state.list.slice(state.page * PAGE, (state.page + 1) * PAGE);
    const found = await records(images);
    if (mine !== drawing) return;
    at("cards").replaceChildren(...images.map((image, i) => card(image, found[i])));
    const pages = Math.max(1, Math.ceil(state.list.length / PAGE));
    at("pager").hidden = pages < 2;
    at("page").textContent = `page ${state.page + 1} of ${pages}`;
    at("back").disabled = state.page === 0;
    at("on").disabled = state.page === pages - 1;
    at("count").textContent = state.list.length === index.ids.length
      ? `${index.ids.length} images` : `${state.list.length} of ${index.ids.length} images`;
    markSelected();
    tell();
    document.body.dataset.ready = "true";
  }

  function frames() {
    return [...document.querySelectorAll(".frame")];
  }

  // Everything that a new threshold or switch changes on what is on the screen.
  function redraw({ heat = false } = {}) {
    for (const node of frames()) {
      if (heat) drawHeat(node);
      drawBoxes(node);
    }
    for (const node of document.querySelectorAll(".card")) node.tags.replaceChildren(...tagsOf(node.image, node.record));
    if (state.open >= 0) tellOpen();
    tell();
  }

  // ── threshold ─────────────────────────────────────────────────────────────────────────────
  let asked = 0;

  function setPosition(position) {
    state.position = position;
    const own = runs.map((run) => run.own).find((p) => p >= 0);
    const shown = position === OWN ? own : position;
    const text = position === OWN ? "stored" : positions[position].toString();
    for (const [slider, value] of [["threshold", "threshold-value"], ["viewer-threshold", "viewer-value"]]) {
      if (shown !== undefined) at(slider).value = shown;
      at(value).textContent = text;
      at(slider).setAttribute("aria-valuetext", position === OWN ? `boxes as stored, ${runs[0].text}` : text);
    }
    at("own").setAttribute("aria-pressed", String(position === OWN));
    at("own").disabled = position === OWN;
    for (const line of document.querySelectorAll(".cursor")) {
      const place = position === OWN ? runs[line.dataset.run].own : position;
      line.setAttribute("visibility", place < 0 ? "hidden" : "visible");
      if (place < 0) continue;
      const x = Number(line.dataset.left) + positions[place] * Number(line.dataset.width);
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
    }
    cancelAnimationFrame(asked);
    // The list stays as it is while one of its images is looked at.
    const filtered = state.open < 0 && (at("outcome").value || at("changed").value);
    asked = requestAnimationFrame(() => (filtered ? choose(true) : redraw()));
  }

  function tell() {
    const parts = [];
    runs.forEach((run, r) => {
      const name = runs.length > 1 ? `${r + 1}: ` : "";
      for (const figure of [GT_KNOWN, TOP1]) {
        const found = counted(r, figure, state.position);
        if (!found) continue;
        const node = made("span", {}, `${name}${TITLES[figure]} `, made("b", { textContent: `${(100 - found.error).toFixed(2)} % right` }), made("span", { className: "more", textContent: ` (error ${found.error.toFixed(2)} %, n ${found.all})` }));
        Object.assign(node.dataset, { run: r, figure: figure === TOP1 ? "top1_localization_error" : "gt_known_error", error: found.error, accuracy: (100 * found.right) / found.all });
        parts.push(node);
      }
    });
    if (scored && !parts.length) parts.push(made("span", { textContent: `no figures at this threshold: ${runs[0].lacking}` }));
    if (scored && state.list.length < index.ids.length) {
      const found = counted(0, figureShown(), state.position, state.list);
      if (found) parts.push(made("span", { className: "note", textContent: `of the images shown ${found.right} of ${found.all} right` }));
    }
    const own = runs.map((run, r) => `${runs.length > 1 ? `${r + 1}: ` : ""}${run.text}`).join("; ");
    parts.push(made("span", { className: "note", textContent: state.position === OWN ? `boxes as stored (${own})` : `every map at threshold ${positions[state.position]}` }));
    at("figures").replaceChildren(...parts);
  }

  // ── filters ───────────────────────────────────────────────────────────────────────────────
  const OUTCOMES = { right: true, wrong: false, none: null };

  function passes() {
    const name = at("name").value.toLowerCase(), wanted = at("class").value.toLowerCase();
    const least = at("least").value === "" ? -1 : Number(at("least").value);
    const most = at("most").value === "" ? 2 : Number(at("most").value);
    const kind = at("kind").value, outcome = at("outcome").value, changed = at("changed").value;
    // A whole name stands for itself alone, also where others hold it.
    const titles = index.classes.map((title) => title.toLowerCase()), whole = titles.includes(wanted);
    const classes = titles.map((title) => (whole ? title === wanted : title.includes(wanted)));
    return (i) => {
      if (wanted && !classes[index.class[i]]) return false;
      if (name && !index.ids[i].toLowerCase().includes(name)) return false;
      const score = index.score[i] === null ? 0 : index.score[i];
      if (score < least || score > most) return false;
      if (kind !== "" && kindOf(i, 0) !== Number(kind)) return false;
      if (outcome && rightOf(i, 0) !== OUTCOMES[outcome]) return false;
      return !changed || changes(i, changed);
    };
  }

  function changes(image, wanted) {
    if (wanted === "class") return (index.shift[image] & 1) > 0;
    if (wanted === "box") return index.shift[image] > 0;
    const before = rightOf(image, 0), after = rightOf(image, 1);
    if (before === null || after === null || before === after) return false;
    return wanted === "side" || (wanted === "better") === after;
  }

  function choose(keep = false) {
    const passing = passes();
    const list = [];
    for (let i = 0; i < index.ids.length; i++) if (passing(i)) list.push(i);
    const sort = at("sort").value;
    const value = sort.includes("iou") ? iouOf : (i) => index.score[i];
    if (sort) {
      const sign = sort.startsWith("-") ? -1 : 1;
      const number = (i) => (value(i) === null ? -1 : value(i));
      list.sort((a, b) => sign * (number(a) - number(b)) || a - b);
    }
    const same = keep && list.length === state.list.length && list.every((i, k) => i === state.list[k]);
    state.list = list;
    if (same) return redraw();
    const pages = Math.max(1, Math.ceil(list.length / PAGE));
    state.page = keep ? Math.min(state.page, pages - 1) : 0;
    if (!list.includes(state.selected)) state.selected = -1;
    return showPage();
  }

  // ── selection and the closer look ─────────────────────────────────────────────────────────
  function markSelected() {
    for (const node of document.querySelectorAll(".card")) {
      node.classList.toggle("selected", node.image === state.selected);
    }
  }

  async function step(by) {
    const current = state.open >= 0 ? state.open : state.selected;
    const place = state.list.indexOf(current);
    const next = place < 0 ? (by > 0 ? state.page * PAGE : -1) : place + by;
    if (next < 0 || next >= state.list.length) return;
    const page = Math.floor(next / PAGE);
    state.selected = state.list[next];
    if (page !== state.page) {
      state.page = page;
      await showPage();
    }
    markSelected();
    const node = document.querySelector(`.card[data-image="${state.selected}"]`);
    if (state.open >= 0) look(state.selected);
    else if (node) node.querySelector("button").focus();
  }

  async function look(image) {
    const [record] = await records([image]);
    state.open = state.selected = image;
    state.className = null;
    markSelected();
    at("viewer-name").textContent = briefly(image);
    at("viewer-name").title = index.ids[image];
    at("stage").replaceChildren(...runs.map((_, r) => made("span", { className: "side" }, frame(image, record, r))));
    at("stage").record = record;
    tellOpen();
    if (!at("viewer").open) at("viewer").showModal();
    const place = state.list.indexOf(image);
    at("previous").disabled = place <= 0;
    at("next").disabled = place >= state.list.length - 1;
  }

  function tellOpen() {
    const record = at("stage").record, image = state.open;
    const parts = [made("p", {}, ...tagsOf(image, record))];
    const facts = [["image", index.ids[image]], ["size", record.size ? `${record.size[0]} × ${record.size[1]}` : "unknown"]];
    for (const [name, own] of record.truth) facts.push(["true class", `${name}, ${own.length} ${own.length === 1 ? "box" : "boxes"}`]);
    runs.forEach((run, r) => {
      const found = shownClass(record, r);
      const boxes = found ? boxesOf(record, r, found) : [];
      facts.push([runs.length > 1 ? `boxes, run ${r + 1}` : "boxes", boxes.slice(0, 5).map((b) => b.slice(0, 4).join(" ")).join("; ") || "none"]);
    });
    if (record.error) facts.push(["not localized", record.error]);
    if (record.why) facts.push(["no picture", record.why]);
    parts.push(made("dl", {}, ...facts.flatMap(([title, text]) => [made("dt", { textContent: title }), made("dd", { textContent: text })])));
    parts.push(...classList(record));
    at("told").replaceChildren(...parts);
  }

  function classList(record) {
    const classes = record.runs[0] || [];
    if (!classes.length) return [];
    const list = made("div", { className: "classes" }, made("h3", { textContent: "classes: choose whose map and boxes" }));
    classes.forEach((found) => {
      const score = found[SCORE] === null ? "" : percent(found[SCORE]);
      const button = made("button", { type: "button" },
        made("span", { textContent: `${found[RANK]}. ${found[NAME]}${found[TRUE] ? " (true)" : ""}` }), made("span", { textContent: score }));
      button.setAttribute("aria-pressed", String(found === shownClass(record, 0)));
      button.addEventListener("click", () => {
        state.className = found[NAME];
        for (const node of at("stage").querySelectorAll(".frame")) {
          drawHeat(node);
          drawBoxes(node);
        }
        tellOpen();
      });
      list.append(button);
    });
    return [list];
  }

  // ── what the reader does ──────────────────────────────────────────────────────────────────
  const KEYS = {
    ArrowRight: () => step(1), ArrowLeft: () => step(-1), j: () => step(1), k: () => step(-1),
    h: () => at("show-heat").click(), p: () => at("show-pred").click(), t: () => at("show-true").click(),
    o: () => setPosition(OWN), ",": () => nudge(-1), ".": () => nudge(1),
  };

  function nudge(by) {
    if (at("slider-label").hidden) return;
    const next = Number(at("threshold").value) + by;
    if (next >= 0 && next < positions.length) setPosition(next);
  }

  function onKey(event) {
    const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  function turn(by) {
    state.page += by;
    showPage();
    at("tools").scrollIntoView();
  }

  function listen() {
    document.addEventListener("keydown", onKey);
    for (const id of ["threshold", "viewer-threshold"]) {
      at(id).addEventListener("input", () => setPosition(Number(at(id).value)));
    }
    at("own").addEventListener("click", () => setPosition(OWN));
    at("show-heat").addEventListener("change", () => redraw({ heat: true }));
    at("show-pred").addEventListener("change", () => redraw());
    at("show-true").addEventListener("change", () => redraw());
    at("which").addEventListener("change", () => choose());
    for (const id of ["class", "outcome", "kind", "changed", "least", "most", "name", "sort"]) {
      at(id).addEventListener("input", () => choose());
    }
    at("reset").addEventListener("click", () => {
      for (const id of ["class", "outcome", "kind", "changed", "least", "most", "name", "sort"]) at(id).value = "";
      choose();
    });
    at("back").addEventListener("click", () => turn(-1));
    at("on").addEventListener("click", () => turn(1));
    at("previous").addEventListener("click", () => step(-1));
    at("next").addEventListener("click", () => step(1));
    at("close").addEventListener("click", () => at("viewer").close());
    at("viewer").addEventListener("close", () => {
      state.open = -1;
      state.className = null;
      at("stage").replaceChildren();
      if (at("outcome").value || at("changed").value) choose(true);
      const node = document.querySelector(`.card[data-image="${state.selected}"] button`);
      if (node) node.focus();
    });
  }

  function options(id, rows) {
    for (const [value, text] of rows) at(id).append(made("option", { value, textContent: text }));
  }

  function begin() {
    for (const note of document.querySelectorAll("#unread, .lacking")) {
      note.hidden = false;
      at("tools").before(note);
    }
    at("threshold").max = at("viewer-threshold").max = positions.length - 1;
    at("slider-label").hidden = at("viewer-slider").hidden = at("own").hidden = !runs.some((run) => run.rule);
    for (const node of document.querySelectorAll(".needs-marks")) node.hidden = !scored;
    for (const node of document.querySelectorAll(".needs-two")) node.hidden = runs.length < 2;
    at("which").closest("label").hidden = !index.labelled;
    at("show-true").closest("label").hidden = !hasTruth;
    options("kind", data.kinds.map((kind, k) => [k, kind]));
    options("changed", [...(scored ? [["side", "right in one only"], ["better", "right in the second only"], ["worse", "right in the first only"]] : []), ["class", "another top-1 class"], ["box", "another top-1 class or box"]]);
    at("classes").append(...index.classes.filter(Boolean).sort().map((value) => made("option", { value })));
    for (const id of ["cards", "stage"]) at(id).classList.toggle("two", runs.length > 1);
    at("tools").hidden = false;
    listen();
    setPosition(OWN);
    choose();
  }

  // What tests look at.
  window.camtoolReport = { data, state, records, boxesOf, counted, setPosition, rightOf };
  begin();
})();
