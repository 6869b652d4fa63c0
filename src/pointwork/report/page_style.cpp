#include "pointwork/report/sections.h"

namespace pointwork {

// Okabe and Ito's colours, which people with any colour vision tell apart; darker on white, lighter
// on black.
const char* const kPageStyle = R"css(
:root {
  --paper: #fff; --ink: #1c1e21; --soft: #5d636b; --rule: #dfe2e6; --ground: #f1f3f5;
  --heat: 0 98 168; --minus: #c2570c; --warn: #b3400a;
  --c0: #0062a8; --c1: #c2570c; --c2: #00805d; --c3: #a8487f; --c4: #7a6a00; --c5: #555b63;
  --m5: #b0233c; --m6: #5450b8; --m7: #8a5a24; --skip: #c9ced5;
}
@media (prefers-color-scheme: dark) { :root {
  --paper: #16181b; --ink: #e4e6e9; --soft: #9aa1aa; --rule: #33373d; --ground: #202327;
  --heat: 86 180 233; --minus: #f0a355; --warn: #ffa45c;
  --c0: #6cbcf0; --c1: #f0a355; --c2: #35c79b; --c3: #e29cc4; --c4: #d8c83f; --c5: #b4bac2;
  --m5: #ff8d96; --m6: #a9a6ff; --m7: #cfa06d; --skip: #4d535c;
} }
@media print { :root {
  --paper: #fff; --ink: #000; --soft: #444; --rule: #bbb; --ground: #eee;
  --heat: 0 98 168; --minus: #c2570c; --warn: #b3400a;
  --c0: #0062a8; --c1: #c2570c; --c2: #00805d; --c3: #a8487f; --c4: #7a6a00; --c5: #555b63;
  --m5: #b0233c; --m6: #5450b8; --m7: #8a5a24; --skip: #c9ced5;
} }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif; }
main { max-width: 1340px; margin: 0 auto; padding: 28px clamp(14px, 3vw, 36px) 60px; }
.kicker { margin: 0; color: var(--soft); font-size: 13px; letter-spacing: .04em; }
h1 { margin: 0 0 8px; font-size: 27px; line-height: 1.25; font-weight: 650; overflow-wrap: anywhere; }
h2 { margin: 0 0 6px; font-size: 18px; font-weight: 650; }
h3 { margin: 14px 0 2px; font-size: 15px; font-weight: 600; overflow-wrap: anywhere; }
section { margin-top: 30px; padding-top: 18px; border-top: 1px solid var(--rule); }
p { margin: 6px 0; }
.lead { max-width: 78ch; font-size: 16px; }
.lead b { font-weight: 650; font-variant-numeric: tabular-nums; }
.note { max-width: 88ch; color: var(--soft); font-size: 13.5px; }
code, pre { font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code { overflow-wrap: anywhere; }
small { color: var(--soft); font-size: 12.5px; }
.name { font-weight: 650; color: var(--c); }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); }
.c3 { --c: var(--c3); } .c4 { --c: var(--c4); } .c5 { --c: var(--c5); }

.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 22px 4px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--rule); }
thead th, thead td { border-bottom-color: var(--soft); font-weight: 600; }
tbody tr:last-child > * { border-bottom: 0; }
tbody th { font-weight: 400; color: var(--soft); }
.facts td { min-width: 11em; }
.facts small { display: block; line-height: 1.35; }
.layers td, .layers thead th { text-align: right; white-space: nowrap; }
.layers tbody th { color: var(--ink); white-space: nowrap; }
.layers .remark { text-align: left; color: var(--warn); padding-right: 0; }
.layers .off { color: var(--warn); font-weight: 650; }

.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 290px), 1fr)); gap: 10px 22px; }
.chart { display: block; width: 100%; max-width: 640px; height: auto; overflow: visible; }
.chart .grid { stroke: var(--rule); stroke-width: 1; }
.chart .axis { stroke: var(--soft); stroke-width: 1; fill: none; }
svg text { font-size: 11.5px; fill: var(--soft); font-variant-numeric: tabular-nums; }
svg .title { font-size: 12.5px; fill: var(--ink); }
svg .label { font-size: 12.5px; font-weight: 650; fill: var(--c); paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; }
.line { fill: none; stroke: var(--c, var(--soft)); stroke-width: 1.6; stroke-linejoin: round; }
.dot { fill: var(--c, var(--soft)); stroke: var(--paper); stroke-width: .7; }
.ring { fill: none; stroke: var(--c, var(--soft)); stroke-width: 1.1; }
.catch { fill: transparent; }
.chart .cursor { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 2 2; }
.key { display: flex; flex-wrap: wrap; gap: 2px 20px; align-items: center; color: var(--soft); font-size: 13px; }
.key > span { display: inline-flex; align-items: center; gap: 7px; }
.swatch { height: 12px; }

.heatrow { display: flex; gap: 10px; margin-top: 10px; }
.heatnames { flex: none; margin: 0; padding: 0; list-style: none; color: var(--soft); font-size: min(12.5px, calc(var(--row, 19px) * .75)); line-height: 1; display: grid; grid-auto-rows: var(--row, 19px); align-items: center; }
.scroll { flex: 1; min-width: 0; overflow-x: auto; }
.heat { display: block; width: 100%; height: auto; }
.heat rect { fill: rgb(var(--heat)); }
.heat rect.minus { fill: var(--minus); }
.heat rect.ground { fill: var(--ground); }
.heat rect.catch { fill: transparent; }
.heat rect.cursor { fill: none; stroke: var(--ink); stroke-width: 1.5; }
.box { width: 13px; height: 13px; display: inline-block; background: rgb(var(--heat)); }
.box.weak { opacity: .42; } .box.minus { background: var(--minus); } .box.ground { background: var(--ground); }
.passage, .sample blockquote { white-space: pre-wrap; overflow-wrap: anywhere; font: 15px/1.75 Charter, "Bitstream Charter", Georgia, "Liberation Serif", serif; }
.passage { max-width: 100ch; margin: 14px 0 8px; }
.passage span, .sample span, .scale i { background: rgb(var(--heat) / calc(var(--s, 0) * .5)); }
.passage span { padding: 2px 0; }
.passage span.lit { outline: 1.5px solid var(--ink); outline-offset: 0; }
.passage i, .sample i { color: var(--soft); font-style: normal; font-size: 11px; }
.scale { gap: 0 !important; font-variant-numeric: tabular-nums; }
.scale i { font-style: normal; color: var(--ink); padding: 0 9px; border: 1px solid var(--rule); border-left-width: 0; margin-right: 0; }
.scale i:first-child { border-left-width: 1px; } .scale i:last-child { margin-right: 6px; }

.alarm { color: var(--warn); }
h4 { margin: 16px 0 2px; font-size: 14px; font-weight: 600; }
.loadmap svg { display: block; max-width: none; margin-top: 8px; }
.loadmap .above, .loadscale .above { fill: rgb(var(--heat)); }
.loadmap .below, .loadscale .below { fill: var(--minus); }
.loadmap .fair, .loadscale .fair { fill: var(--ground); }
.loadmap .axis { stroke: var(--soft); stroke-width: 1.5; }
.loadmap .grid { stroke: var(--rule); stroke-width: 1; }
.loadmap .line { stroke: var(--ink); stroke-width: 1.3; }
.loadmap text.n { fill: var(--ink); }
.trends { display: grid; grid-template-columns: repeat(auto-fill, minmax(328px, 1fr)); gap: 14px 22px; overflow-x: auto; }
.trends figure { margin: 6px 0 0; }
.trends svg { margin-top: 0; }
.trends figcaption { margin: 0; color: var(--ink); }
.affinity td { padding-right: 16px; }
.affinity td > span { display: inline-block; margin-right: 12px; white-space: nowrap; }

.m0 { --c: var(--c0); } .m1 { --c: var(--c1); } .m2 { --c: var(--c2); } .m3 { --c: var(--c3); }
.m4 { --c: var(--c4); } .m5 { --c: var(--m5); } .m6 { --c: var(--m6); } .m7 { --c: var(--m7); }
.ms { --c: var(--skip); }
h5 { margin: 10px 0 0; font-size: 13.5px; font-weight: 600; }
.mod { display: inline-block; width: 11px; height: 11px; margin-right: 7px; background: var(--c); }
.rounds th, .rounds td { padding: 3px 9px; text-align: right; white-space: nowrap; }
.rounds tbody th { padding-left: 0; text-align: left; color: var(--ink); }
.rounds thead td { padding-left: 0; text-align: left; font-weight: 400; color: var(--soft); }
.rounds td { background: rgb(var(--heat) / calc(var(--s, 0) * .55)); }
.flow svg { display: block; max-width: none; margin: 12px 0 4px; }
.flow path { fill: var(--c); fill-opacity: .42; }
.flow path:hover { fill-opacity: .8; }
.flow path.ms { fill-opacity: .6; }
.flow rect { fill: var(--c); }
.flow text.n { fill: var(--paper); font-size: 11px; font-weight: 650; pointer-events: none; }
.flow text.ms { fill: var(--ink); font-weight: 400; }
.cells b, .steps b { display: flex; gap: 1px; margin-top: 1px; }
.cells i, .steps i { flex: 1; min-width: 6px; height: 6px; background: var(--c, transparent); }
.cells i { min-width: 14px; height: 9px; }
.paths td { padding: 2px 16px 2px 0; border: 0; font-size: 13.5px; white-space: nowrap; vertical-align: middle; }
.steps { max-width: 120ch; margin: 8px 0 14px; font: 14px/1.35 Charter, "Bitstream Charter", Georgia, "Liberation Serif", serif; }
.steps span { display: inline-block; vertical-align: top; margin: 0 3px 7px 0; white-space: pre; }

.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 4px 40px; }
.bars { display: grid; grid-template-columns: max-content 1fr max-content; gap: 6px 12px; align-items: center; margin: 10px 0 14px; max-width: 620px; font-variant-numeric: tabular-nums; }
.barname { color: var(--soft); font-size: 13.5px; }
.barvalue { font-weight: 650; }
.track { background: var(--ground); height: 14px; }
.bar { height: 14px; background: var(--c0); }
.bar.ideal { background: transparent; border: 1.5px solid var(--c0); }
.bar.realised { background: var(--c5); }
.sample { margin: 10px 0 16px; }
.sample blockquote { margin: 0; padding-left: 12px; border-left: 2px solid var(--rule); }
.sample .given { font-weight: 700; }
figcaption { margin: 3px 0 0 14px; color: var(--soft); font-size: 12.5px; }
pre { overflow-x: auto; margin: 8px 0; padding: 10px 12px; background: var(--ground); }
details { margin: 6px 0; }
summary { cursor: pointer; }
#tip { position: fixed; z-index: 2; pointer-events: none; max-width: min(340px, 92vw); padding: 6px 9px; background: var(--paper); color: var(--ink); border: 1px solid var(--soft); font-size: 12.5px; line-height: 1.45; font-variant-numeric: tabular-nums; white-space: pre-wrap; overflow-wrap: anywhere; }
#tip[hidden] { display: none; }
#tip b { font-weight: 650; }
@media (max-width: 560px) {
  h1 { font-size: 22px; }
  th, td { padding-right: 14px; }
  .facts td { min-width: 8.5em; }
}
@media print {
  body { font-size: 10.5pt; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  section { margin-top: 14pt; padding-top: 8pt; }
  .charts { grid-template-columns: repeat(2, 1fr); gap: 8px; }
  .layers th, .layers td { padding-right: 9pt; font-size: 9pt; }
  .layers .remark { white-space: normal; }
  .heat { min-width: 0 !important; }
  .wide, .scroll, pre { overflow: visible; }
  pre { white-space: pre-wrap; }
  h2, h3 { break-after: avoid; }
  .chart, .heatrow, .sample, .bars, .loadmap, .flow, .steps span, tr { break-inside: avoid; }
}
)css";

}  // namespace pointwork
