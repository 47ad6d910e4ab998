"use strict";
// Boxes of a low-resolution map at a threshold, by the very arithmetic of the program: cells are
// laid under pixels as camtool/geometry.py does, components are found as camtool/kernels/components.py
// does, and boxes are chosen as camtool/boxes/paper.py does. Numbers are doubles in both places, so
// every pixel is decided alike.

const camtoolBoxes = (() => {
  const axes = new Map();

  // Lower cell of each pixel, share of the upper one, first covered pixel and one past the last.
  function axis(cells, start, stop, pixels) {
    const key = `${cells} ${start} ${stop} ${pixels}`;
    let laid = axes.get(key);
    if (laid) return laid;
    laid = { cell: new Int32Array(pixels), share: new Float64Array(pixels), start: 0, stop: 0 };
    const factor = cells / (stop - start);
    for (let i = 0; i < pixels; i++) {
      const place = Math.min(Math.max((i + 0.5 - start) * factor - 0.5, 0), cells - 1);
      laid.cell[i] = Math.min(Math.trunc(place), Math.max(cells - 2, 0));
      laid.share[i] = place - laid.cell[i];
      if (i + 0.5 < start) laid.start = i + 1;
      if (i + 0.5 < stop) laid.stop = i + 1;
    }
    if (axes.size > 256) axes.clear();
    axes.set(key, laid);
    return laid;
  }

  function unpacked(text, type) {
    const raw = atob(text);
    const bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    return new type(bytes.buffer);
  }

  // A stored map, laid on its image of width × height pixels; null where it has no cells here.
  function read(stored, width, height) {
    if (!stored || !stored.cells) return null;
    const values = unpacked(stored.cells, Float32Array);
    const [x0, y0, x1, y1] = stored.region;
    const map = { values, h: stored.h, w: stored.w, width, height, pieces: null };
    map.rows = axis(map.h, y0, y1, height);
    map.columns = axis(map.w, x0, x1, width);
    map.finite = values.every(Number.isFinite);
    map.covers = map.rows.start < map.rows.stop && map.columns.start < map.columns.stop;
    if (map.finite && map.covers) measure(map);
    return map;
  }

  // Between two cell centres a row of the enlarged map is monotone: such a piece has its extremes
  // at its ends.
  function measure(map) {
    const { cell, start, stop } = map.columns;
    const firsts = [], cells = [];
    for (let x = start; x < stop; x++) {
      if (x === start || cell[x] !== cell[x - 1]) {
        firsts.push(x);
        cells.push(cell[x]);
      }
    }
    firsts.push(stop);
    map.pieces = { firsts, cells };
    map.low = Infinity;
    map.high = -Infinity;
    const row = new Float64Array(map.w);
    for (let y = map.rows.start; y < map.rows.stop; y++) {
      lineOf(map, y, row);
      for (let i = 0; i < cells.length; i++) {
        const a = valueAt(row, cells[i], map.columns.share[firsts[i]]);
        const b = valueAt(row, cells[i], map.columns.share[firsts[i + 1] - 1]);
        map.low = Math.min(map.low, a, b);
        map.high = Math.max(map.high, a, b);
      }
    }
  }

  function lineOf(map, y, row) {
    const low = map.rows.cell[y], high = Math.min(low + 1, map.h - 1);
    const share = map.rows.share[y], values = map.values, w = map.w;
    for (let k = 0; k < w; k++) {
      const value = values[low * w + k];
      row[k] = value + share * (values[high * w + k] - value);
    }
  }

  function valueAt(row, cell, share) {
    return row[cell] + share * (row[Math.min(cell + 1, row.length - 1)] - row[cell]);
  }

  // First column of [first, last) on the other side of the threshold than column `first`.
  function crossing(start, slope, share, first, last, threshold) {
    const above = start + share[first] * slope > threshold;
    while (first < last) {
      const middle = (first + last) >> 1;
      if ((start + share[middle] * slope > threshold) === above) first = middle + 1;
      else last = middle;
    }
    return first;
  }

  function rootOf(parents, i) {
    while (parents[i] !== i) {
      parents[i] = parents[parents[i]];
      i = parents[i];
    }
    return i;
  }

  // Joins the runs [here, end) of a row with the touching ones [above, here) of the last: 8-connected.
  function joinRows(runs, above, here, end) {
    const { starts, stops, parents } = runs;
    let i = above, j = here;
    while (i < here && j < end) {
      if (starts[j] <= stops[i] && starts[i] <= stops[j]) {
        const a = rootOf(parents, i), b = rootOf(parents, j);
        parents[Math.max(a, b)] = Math.min(a, b);
      }
      if (stops[i] < stops[j]) i++;
      else j++;
    }
  }

  // The 8-connected components of `map > threshold`, in order of their first pixel.
  function components(map, share, ofRange) {
    if (!map.finite || !map.covers) return [];
    const base = ofRange ? map.low : 0;
    if (!(map.high > base)) return [];
    const threshold = base + share * (map.high - base);
    const runs = { starts: [], stops: [], lines: [], tops: [], parents: [] };
    const { firsts, cells } = map.pieces, shares = map.columns.share;
    const row = new Float64Array(map.w);
    let above = 0;
    for (let y = map.rows.start; y < map.rows.stop; y++) {
      lineOf(map, y, row);
      const here = runs.starts.length;
      for (let i = 0; i < cells.length; i++) addRun(runs, here, y, row, cells[i], shares, firsts[i], firsts[i + 1], threshold);
      joinRows(runs, above, here, runs.starts.length);
      above = here;
    }
    return collected(runs);
  }

  function addRun(runs, here, y, row, cell, shares, first, last, threshold) {
    const start = row[cell];
    const slope = row[Math.min(cell + 1, row.length - 1)] - start;
    const cut = crossing(start, slope, shares, first, last, threshold);
    let peak = start + shares[first] * slope;
    if (peak > threshold) last = cut;
    else first = cut;
    if (first >= last) return;
    peak = Math.max(peak, start + shares[last - 1] * slope);
    const n = runs.starts.length;
    if (n > here && runs.stops[n - 1] === first) {
      runs.stops[n - 1] = last;
      runs.tops[n - 1] = Math.max(runs.tops[n - 1], peak);
      return;
    }
    runs.starts.push(first);
    runs.stops.push(last);
    runs.lines.push(y);
    runs.tops.push(peak);
    runs.parents.push(n);
  }

  function collected(runs) {
    const found = [], places = [];
    for (let i = 0; i < runs.parents.length; i++) {
      const root = rootOf(runs.parents, i);
      if (root === i) {
        places[i] = found.length;
        found.push({ box: [runs.starts[i], runs.lines[i], runs.stops[i], 0], area: 0, peak: runs.tops[i] });
      }
      const one = found[places[root]];
      one.box[0] = Math.min(one.box[0], runs.starts[i]);
      one.box[2] = Math.max(one.box[2], runs.stops[i]);
      one.box[3] = runs.lines[i] + 1;
      one.area += runs.stops[i] - runs.starts[i];
      one.peak = Math.max(one.peak, runs.tops[i]);
    }
    return found;
  }

  // The boxes of a map by a rule at a threshold: [x0, y0, x1, y1, score], strongest first.
  function boxesAt(map, rule, share) {
    const found = components(map, share, rule.of_range);
    const base = rule.of_range ? map.low : 0;
    for (const one of found) one.score = (one.peak - base) / (map.high - base);
    return chosen(found, rule, map.width, map.height).map((one) => [...one.box, one.score]);
  }

  function chosen(found, rule, width, height) {
    const large = () => found.filter((one) => one.area >= rule.min_area * width * height);
    if (rule.name === "multi") {
      const kept = large().sort((a, b) => b.score - a.score || b.area - a.area);
      return suppressed(kept, rule.nms, rule.max_boxes);
    }
    if (rule.components === "all") return large().sort((a, b) => b.score - a.score);
    let best = null;
    for (const one of found) if (!best || one.area > best.area) best = one;
    return best ? [best] : [];
  }

  function suppressed(found, most, number) {
    const kept = [];
    for (const one of found) {
      if (kept.length >= number) break;
      if (kept.every((other) => overlap(one.box, other.box) <= most)) kept.push(one);
    }
    return kept;
  }

  // Intersection over union of two half-open boxes.
  function overlap(a, b) {
    const w = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
    const h = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
    if (w <= 0 || h <= 0) return 0;
    const common = w * h;
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common);
  }

  // Draws the heat of a map over a canvas, by the same interpolation at a smaller size.
  function paint(canvas, map, palette, ofRange) {
    const factor = Math.min(1, 160 / Math.max(map.width, map.height));
    const width = (canvas.width = Math.max(1, Math.round(map.width * factor)));
    const height = (canvas.height = Math.max(1, Math.round(map.height * factor)));
    const context = canvas.getContext("2d");
    const picture = context.createImageData(width, height);
    const base = ofRange ? map.low : 0, range = map.high - base;
    if (!map.finite || !map.covers || !(range > 0)) return;
    const row = new Float64Array(map.w);
    for (let y = 0; y < height; y++) {
      const line = Math.min(map.height - 1, Math.floor(((y + 0.5) * map.height) / height));
      if (line < map.rows.start || line >= map.rows.stop) continue;
      lineOf(map, line, row);
      for (let x = 0; x < width; x++) {
        const column = Math.min(map.width - 1, Math.floor(((x + 0.5) * map.width) / width));
        if (column < map.columns.start || column >= map.columns.stop) continue;
        const value = valueAt(row, map.columns.cell[column], map.columns.share[column]);
        const heat = Math.min(Math.max((value - base) / range, 0), 1);
        const level = Math.round(heat * 255), at = 4 * (y * width + x);
        for (let c = 0; c < 3; c++) picture.data[at + c] = palette[3 * level + c];
        picture.data[at + 3] = Math.round(255 * 0.62 * Math.sqrt(heat));
      }
    }
    context.putImageData(picture, 0, 0);
  }

  return { read, boxesAt, overlap, paint, unpacked };
})();
