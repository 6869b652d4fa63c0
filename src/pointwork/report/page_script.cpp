#include "pointwork/report/sections.h"

namespace pointwork {

// Hovering only; the page says everything but single values without it.
const char* const kPageScript = R"js(
'use strict';
(() => {
  const tip = document.getElementById('tip');
  const hide = () => { tip.hidden = true; };
  const show = (event, parts) => {
    tip.replaceChildren(...parts);
    tip.hidden = false;
    const gap = 14, box = tip.getBoundingClientRect();
    const x = event.clientX + gap + box.width > innerWidth ? event.clientX - gap - box.width : event.clientX + gap;
    const y = event.clientY + gap + box.height > innerHeight ? event.clientY - gap - box.height : event.clientY + gap;
    tip.style.left = Math.max(4, x) + 'px';
    tip.style.top = Math.max(4, y) + 'px';
  };
  const bold = (text, name) => {
    const b = document.createElement('b');
    b.textContent = text;
    if (name) { b.className = name; b.style.color = 'var(--c)'; }
    return b;
  };
  const number = (value, digits) => value === null || value === undefined ? '–' : value.toFixed(digits).replace('-', '−');
  const prefixed = value => {
    const prefixes = ['', 'k', 'M', 'G', 'T', 'P', 'E'];
    let i = 0;
    while (value >= 999.5 && i < 6) { value /= 1000; ++i; }
    return [i === 0 && Number.isInteger(value) ? value : value.toPrecision(3), prefixes[i]];
  };
  const units = [
    v => 'step ' + Math.round(v).toLocaleString('en'),
    v => { const [n, p] = prefixed(v); return n + '\u00a0' + p + 'FLOP'; },
    v => v < 60 ? v.toFixed(1) + '\u00a0s' : Math.floor(v / 60) + '\u00a0min ' + Math.round(v % 60) + '\u00a0s'];

  const store = document.getElementById('curves');
  const runs = store ? JSON.parse(store.textContent) : [];
  const nearest = (points, axis, x) => {
    let best = null, distance = Infinity;
    for (const p of points) {
      if (p[axis] === null) continue;
      const d = Math.abs(p[axis] - x);
      if (d < distance) { distance = d; best = p; }
    }
    return best && { p: best, distance };
  };
  for (const svg of document.querySelectorAll('svg.chart')) {
    const axis = +svg.dataset.axis, right = +svg.dataset.right;
    const from = +svg.dataset.leftPx, to = +svg.dataset.rightPx;
    const cursor = svg.querySelector('.cursor'), area = svg.querySelector('.catch');
    area.addEventListener('pointerleave', () => { hide(); cursor.setAttribute('visibility', 'hidden'); });
    const move = event => {
      const box = svg.getBoundingClientRect();
      const at = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
      const x = Math.max(0, (at - from) / (to - from) * right);
      cursor.setAttribute('transform', `translate(${Math.min(to, Math.max(from, at))} 0)`);
      cursor.setAttribute('visibility', 'visible');
      const parts = [units[axis](x)];
      runs.forEach((run, i) => {
        const reach = right / 100;
        const training = nearest(run.training, axis, x);
        const inside = training && training.distance <= reach;
        const marks = [];
        if (inside) marks.push('training ' + number(training.p[3], 3));
        for (const [points, what] of [[run.validation, 'validation'], [run.validation_training, 'with training routing']]) {
          const found = nearest(points, axis, x);
          if (found && found.distance <= 2.5 * reach) marks.push(what + ' ' + number(found.p[3], 3));
        }
        if (marks.length) parts.push('\n', bold(run.name, 'c' + i % 6), '  ' + marks.join(', '));
      });
      show(event, parts);
    };
    area.addEventListener('pointermove', move);
    area.addEventListener('pointerdown', move);
  }

  for (const part of document.querySelectorAll('.loadmap')) {
    const { rows, columns, load, at } = JSON.parse(part.querySelector('script').textContent);
    const [left, top, width, height] = at;
    const svg = part.querySelector('svg'), area = svg.querySelector('.catch');
    const move = event => {
      const box = svg.getBoundingClientRect(), s = box.width / svg.viewBox.baseVal.width;
      const c = Math.floor(((event.clientX - box.left) / s - left) / width);
      const r = Math.floor(((event.clientY - box.top) / s - top) / height);
      const value = load[r] && load[r][c];
      if (typeof value !== 'number') return hide();
      show(event, [bold(rows[r]), `, ${columns[c]}\n${value}\u00a0× the fair share`]);
    };
    area.addEventListener('pointermove', move);
    area.addEventListener('pointerdown', move);
    area.addEventListener('pointerleave', hide);
  }

  for (const part of document.querySelectorAll('[data-tip]')) {
    const move = event => show(event, [part.dataset.tip]);
    part.addEventListener('pointermove', move);
    part.addEventListener('pointerdown', move);
    part.addEventListener('pointerleave', hide);
  }

  const visible = token => token.replace(/\n/g, '↵').replace(/\t/g, '⇥').replace(/ /g, '␣');
  for (const part of document.querySelectorAll('.routing')) {
    const { tokens, layers } = JSON.parse(part.querySelector('.passagedata').textContent);
    const spans = part.querySelectorAll('.passage > span');
    const svg = part.querySelector('.heat'), names = part.querySelector('.heatnames');
    const cell = +svg.dataset.cell, row = +svg.dataset.row;
    const cursor = svg.querySelector('.cursor'), area = svg.querySelector('.catch');
    const scale = () => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    const fit = () => names.style.setProperty('--row', row * scale() + 'px');
    addEventListener('resize', fit);
    addEventListener('beforeprint', fit);
    fit();
    let lit = null;
    const light = t => {
      if (lit) lit.classList.remove('lit');
      lit = t === null ? null : spans[t];
      if (lit) lit.classList.add('lit');
    };
    const leave = () => { hide(); light(null); cursor.setAttribute('visibility', 'hidden'); };
    const over = (t, from, to) => {
      cursor.setAttribute('x', t * cell);
      cursor.setAttribute('y', from * row);
      cursor.setAttribute('height', (to - from) * row - (row - 16));
      cursor.setAttribute('visibility', 'visible');
    };
    const line = (layer, t) => {
      const chose = layer.chose && layer.chose[t] ? 'chose ' + layer.chose[t] + ', ' : '';
      const says = chose + (layer.entered[t] ? 'entered' : 'passed by');
      return `${layer.name}  ${says}, weight ${number(layer.weight[t], 3)}, decision ${number(layer.decision[t], 3)}`;
    };
    const move = event => {
      const box = svg.getBoundingClientRect(), s = scale();
      const t = Math.min(tokens.length - 1, Math.max(0, Math.floor((event.clientX - box.left) / s / cell)));
      const l = Math.min(layers.length - 1, Math.max(0, Math.floor((event.clientY - box.top) / s / row)));
      over(t, l, l + 1);
      light(t);
      show(event, [bold('“' + visible(tokens[t]) + '”'), ` position ${t}\n`, line(layers[l], t)]);
    };
    area.addEventListener('pointermove', move);
    area.addEventListener('pointerdown', move);
    area.addEventListener('pointerleave', leave);
    spans.forEach((span, t) => {
      const enter = event => {
        over(t, 0, layers.length);
        const taken = layers.reduce((sum, layer) => sum + layer.entered[t], 0);
        const detail = layers.length <= 12 ? layers.map(layer => '\n' + line(layer, t)).join('') : '';
        show(event, [bold('“' + visible(tokens[t]) + '”'), ` position ${t}, took ${taken} of ${layers.length}` + detail]);
      };
      span.addEventListener('pointermove', enter);
      span.addEventListener('pointerleave', leave);
    });
  }
})();
)js";

}  // namespace pointwork
