"use strict";
// One picture of a report with its heat map and boxes; a record's classes, maps and boxes.

const camtoolPictures = (data, state, rightOf) => {
  const { index, runs, positions } = data;
  const OWN = -1;
  const palette = camtoolBoxes.unpacked(data.palette, Uint8Array);
  const at = (id) => document.getElementById(id);

  // A class of a record is [name, score, rank, true or not, boxes, map].
  const NAME = 0, SCORE = 1, RANK = 2, TRUE = 3, BOXES = 4, MAP = 5;

  function shownClass(record, run) {
    const classes = record.runs[run];
    if (!classes || !classes.length) return null;
    if (state.className !== null && state.open >= 0) return classes.find((one) => one[NAME] === state.className) || null;
    const best = classes.reduce((a, b) => (b[RANK] < a[RANK] ? b : a));
    return at("which").value === "true" ? classes.find((one) => one[TRUE]) || best : best;
  }

  function mapOf(record, found) {
    if (found.laid === undefined) {
      found.laid = record.size ? camtoolBoxes.read(found[MAP], ...record.size) : null;
    }
    return found.laid;
  }

  // Boxes at the position of the slider; those of the run where no map can be followed.
  function boxesOf(record, run, found, position = state.position) {
    const rule = runs[run].rule, stored = found[MAP];
    if (position === OWN || !rule || !stored) return found[BOXES];
    if (stored.at) {
      found.swept = found.swept || camtoolBoxes.unpacked(stored.at, Uint16Array);
      const box = [...found.swept.subarray(4 * position, 4 * position + 4)];
      return box[2] > box[0] ? [[...box, 1]] : [];
    }
    const map = mapOf(record, found);
    return map ? camtoolBoxes.boxesAt(map, rule, positions[position]) : found[BOXES];
  }

  // The best overlap of the first box with a true box, in the frame of the picture.
  function overlapOf(record, run) {
    const found = shownClass(record, run);
    if (!found || !record.truth.length || !found[TRUE]) return null;
    const first = boxesOf(record, run, found)[0];
    const every = record.truth.flatMap(([, own]) => own);
    if (!every.length) return null;
    return first ? Math.max(...every.map((box) => camtoolBoxes.overlap(first, box))) : 0;
  }

  function made(tag, properties = {}, ...children) {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children.filter((child) => child !== null));
    return node;
  }

  function svg(tag, attributes) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  }

  function frame(image, record, run) {
    const [width, height] = record.size || [4, 3];
    const node = made("span", { className: "frame" });
    node.style.aspectRatio = `${width} / ${height}`;
    node.style[width >= height ? "width" : "height"] = "100%";
    const found = shownClass(record, run);
    const right = rightOf(image, run);
    const said = [index.ids[image], found ? found[NAME] : "no class", right === null ? "" : right ? "right" : "wrong"].filter(Boolean).join(", ");
    if (record.img && record.runs[run]) node.append(made("img", { src: record.img, alt: said, decoding: "async" }));
    else node.append(made("span", { className: "missing", textContent: record.error || record.why || "not in this run" }));
    const canvas = made("canvas", { className: "heat" });
    canvas.setAttribute("aria-hidden", "true");
    const boxes = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img" });
    node.append(canvas, boxes);
    Object.assign(node, { image, record, run, canvas, boxes });
    drawHeat(node);
    drawBoxes(node);
    return node;
  }

  function drawHeat(node) {
    const found = shownClass(node.record, node.run);
    const map = found && at("show-heat").checked ? mapOf(node.record, found) : null;
    node.canvas.hidden = !map;
    if (map) camtoolBoxes.paint(node.canvas, map, palette, (runs[node.run].rule || {}).of_range);
  }

  function drawBoxes(node) {
    const { record, run, boxes } = node;
    const found = shownClass(record, run);
    const parts = [];
    const add = (box, kind) => {
      const place = { x: box[0], y: box[1], width: box[2] - box[0], height: box[3] - box[1] };
      parts.push(svg("rect", { class: "back", ...place }), svg("rect", { class: kind, ...place }));
    };
    if (at("show-true").checked) for (const [, own] of record.truth) for (const box of own) add(box, "true");
    const predicted = found ? boxesOf(record, run, found) : [];
    node.predicted = predicted;
    if (at("show-pred").checked) predicted.forEach((box, i) => add(box, i ? "pred weak" : "pred"));
    boxes.replaceChildren(...parts);
    boxes.setAttribute("aria-label", `${predicted.length} predicted boxes: ${predicted.slice(0, 3).map((b) => b.slice(0, 4).join(" ")).join("; ")}`);
  }

  return { NAME, SCORE, RANK, TRUE, made, frame, drawHeat, drawBoxes, shownClass, boxesOf, overlapOf };
};
