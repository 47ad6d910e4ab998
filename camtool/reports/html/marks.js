"use strict";
// What the evaluation said of each image: right or wrong at each threshold, and the kind of error.
// Here it is only counted, so that every figure is that of `camtool eval`.

const camtoolMarks = (data) => {
  const { index, runs } = data;
  const GT_KNOWN = 0, TOP1 = 1, OWN = -1;
  // A row is [label, rank, place, right, kind, IoU, bits of GT-known, bits of guesses].
  const ROW_RANK = 1, ROW_PLACE = 2, ROW_RIGHT = 3, ROW_KIND = 4, ROW_IOU = 5, ROW_BITS = 6;

  function bitAt(row, column, bit) {
    const bits = (row.bits = row.bits || {});
    const which = Math.min(column, row.length - 1);
    if (!bits[which]) bits[which] = camtoolBoxes.unpacked(row[which], Uint8Array);
    return (bits[which][bit >> 3] >> (7 - (bit & 7))) & 1;
  }

  // Which bit a position is read from; OWN for the boxes as stored, null where nothing is known.
  function bitOf(run, position) {
    if (position === OWN) return OWN;
    const bit = runs[run].bits[position];
    if (bit >= 0) return bit;
    return position === runs[run].own ? OWN : null;
  }

  function known(row, bit) {
    return bit === OWN ? row[ROW_RIGHT] : bitAt(row, ROW_BITS, bit);
  }

  function top1(rows, bit) {
    if (bit === OWN) return rows.some((row) => row[ROW_PLACE] === 1);
    return rows.some((row) => row[ROW_RANK] === 1 && bitAt(row, ROW_BITS + 1, bit));
  }

  function given(run, figure, bit) {
    return bit !== null && runs[run].figures[bit === OWN ? 0 : 1][figure];
  }

  // Right, wrong or null of one image, by the figure that is looked at.
  function rightOf(image, run, figure, position) {
    const mark = index.marks[image][run], bit = bitOf(run, position);
    if (!mark || !mark[1].length || !given(run, figure, bit)) return null;
    return figure === TOP1 ? top1(mark[1], bit) : mark[1].every((row) => known(row, bit));
  }

  // Number right and number of all: rows for GT-known, images for top-1.
  function counted(run, figure, position, images) {
    const bit = bitOf(run, position);
    if (!given(run, figure, bit)) return null;
    let right = 0, all = 0;
    const count = (image) => {
      const mark = index.marks[image][run];
      if (!mark || !mark[1].length) return;
      if (figure === TOP1) {
        all += 1;
        right += top1(mark[1], bit) ? 1 : 0;
      } else {
        all += mark[1].length;
        for (const row of mark[1]) right += known(row, bit);
      }
    };
    if (images) images.forEach(count);
    else for (let i = 0; i < index.ids.length; i++) count(i);
    return all ? { right, all, error: (100 * (all - right)) / all, accuracy: (100 * right) / all } : null;
  }

  // Kind of error of the boxes as stored, as index of a name.
  function kindOf(image, run, figure) {
    const mark = index.marks[image][run];
    if (!mark) return null;
    if (figure === TOP1) return mark[0];
    return mark[1].length ? mark[1][0][ROW_KIND] : null;
  }

  const iouOf = (image) => {
    const mark = index.marks[image][0];
    return mark && mark[1].length ? mark[1][0][ROW_IOU] : null;
  };

  return { GT_KNOWN, TOP1, OWN, rightOf, counted, kindOf, iouOf };
};
