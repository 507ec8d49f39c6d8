// Draws a chart over time into each element with `data-plot`, by uPlot. The attribute holds, as JSON:
//   x: Unix seconds, ascending
//   series: [{label, values, lower, upper}], with null where there is nothing; lower and upper are the interval
//   unit: "percent" (of values from 0 to 1), "number", "seconds" or "usd"
//   range: [least, most] of the vertical axis; without it, the values decide
//   thresholds: [{value, label}]
//   marks: [{at, label, kind}], kind "alert", "resolved" or "release", at in Unix seconds
"use strict";
window.drawChart = (() => {
  const HEIGHT = 220;
  const drawn = new WeakMap();
  const color = (element, name) => getComputedStyle(element).getPropertyValue(name).trim();

  const WRITE = {
    percent: (value) => `${(100 * value).toFixed(1)} %`,
    seconds: (value) => `${Number(value.toPrecision(3))} s`,
    usd: (value) => `$${Number(value.toPrecision(3))}`,
    number: (value) => `${Number(value.toPrecision(4))}`,
  };

  function lines(spec, element) {
    const colors = ["--chart-1", "--chart-2", "--chart-3", "--chart-4"].map((name) => color(element, name));
    const write = WRITE[spec.unit] ?? WRITE.number;
    const data = [spec.x];
    const series = [{}];
    const bands = [];
    spec.series.forEach((each, index) => {
      const stroke = colors[index % colors.length];
      const value = (_plot, number) => (number == null ? "–" : write(number));
      if (each.lower) {
        bands.push({ series: [data.length, data.length + 1], fill: `${stroke}33` });
        for (const [name, values] of [["upper", each.upper], ["lower", each.lower]]) {
          data.push(values);
          series.push({ label: `${each.label}, ${name} end`, stroke: `${stroke}66`, width: 1, value, points: { show: false } });
        }
      }
      data.push(each.values);
      series.push({ label: each.label, stroke, width: 2, value, points: { size: 5 } });
    });
    return { data, series, bands, write };
  }

  // The thresholds and the marks, over the lines.
  function annotate(plot, spec, element) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.lineWidth = devicePixelRatio;
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    for (const threshold of spec.thresholds ?? []) {
      const y = plot.valToPos(threshold.value, "y", true);
      if (y < bbox.top || y > bbox.top + bbox.height) continue;
      ctx.strokeStyle = ctx.fillStyle = color(element, "--bad");
      ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
      stroke(ctx, bbox.left, y, bbox.left + bbox.width, y);
      ctx.textAlign = "left";
      ctx.fillText(` ${threshold.label} `, bbox.left, y + 11 * devicePixelRatio);  // below it, where it is broken
    }
    for (const [number, mark] of (spec.marks ?? []).entries()) {
      const x = plot.valToPos(mark.at, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = ctx.fillStyle = color(element, mark.kind === "alert" ? "--bad" : "--accent");
      ctx.setLineDash(mark.kind === "alert" ? [] : [2 * devicePixelRatio, 2 * devicePixelRatio]);
      stroke(ctx, x, bbox.top, x, bbox.top + bbox.height);
      ctx.textAlign = x > bbox.left + bbox.width * 0.8 ? "right" : "left";
      const row = number % 3;  // marks close together, a release and its alert, would hide each other's words
      ctx.fillText(` ${mark.label.slice(0, 40)} `, x, bbox.top + (11 + 13 * row) * devicePixelRatio);
    }
    ctx.restore();
  }

  function stroke(ctx, fromX, fromY, toX, toY) {
    ctx.beginPath();
    ctx.moveTo(fromX, fromY);
    ctx.lineTo(toX, toY);
    ctx.stroke();
  }

  function make(element, spec) {
    const { data, series, bands, write } = lines(spec, element);
    const axis = { stroke: color(element, "--quiet"), grid: { stroke: color(element, "--line"), width: 1 } };
    const options = {
      width: Math.max(200, element.clientWidth),
      height: HEIGHT,
      tzDate: (seconds) => uPlot.tzDate(new Date(1000 * seconds), "Etc/UTC"), // as the rest of the page
      series,
      bands,
      scales: { y: spec.range ? { range: spec.range } : {} },
      axes: [axis, { ...axis, size: 64, values: (_plot, ticks) => ticks.map(write) }],
      cursor: { drag: { x: true, y: false } },
      hooks: { draw: [(plot) => annotate(plot, drawn.get(element)?.spec ?? spec, element)] },
    };
    return new uPlot(options, data, element);
  }

  const resize = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      drawn.get(target)?.plot.setSize({ width: Math.max(200, target.clientWidth), height: HEIGHT });
    }
  });
  function drawAgain() {
    for (const element of document.querySelectorAll("[data-plot]")) {
      drawn.get(element)?.plot.destroy();
      drawn.delete(element);
      draw(element);
    }
  }
  for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", drawAgain);

  function draw(element) {
    const text = element.dataset.plot;
    const before = drawn.get(element);
    if (before?.text === text) return;
    const spec = JSON.parse(text);
    const shape = JSON.stringify([spec.series.map((each) => [each.label, Boolean(each.lower)]), spec.unit, spec.range]);
    if (before?.shape === shape) {
      drawn.set(element, { ...before, text, spec });
      before.plot.setData(lines(spec, element).data);
      return;
    }
    before?.plot.destroy();
    drawn.set(element, { text, shape, spec, plot: make(element, spec) });
    resize.observe(element);
  }
  return draw;
})();
