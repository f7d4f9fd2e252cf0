/**
 * By day a pen drawing on drafting film, by night a cyanotype. System fonts only; every pair of text and ground is at
 * least 4.5:1. Written as one string, since nothing here is built.
 */
const TOKENS = `
:root {
  color-scheme: light dark;
  --paper: #f3f5f4; --sheet: #fcfdfc; --wash: #e3eaf2; --line: #c5d0dc; --edge: #7487a0;
  --ink: #0e1f38; --ink-2: #44546b; --blue: #17468f; --on-blue: #ffffff; --lamp: #e09a1f; --glow: #ffd88a;
  --way: #955600; --good: #17603f; --bad: #a1212b; --bad-wash: #fbe9e8;
  --body: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
  --head: Optima, Candara, "Gill Sans Nova", "Gill Sans", Seravek, Ubuntu, var(--body);
  --mono: ui-monospace, "Cascadia Code", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #0a1b33; --sheet: #0f2443; --wash: #14305a; --line: #2a466f; --edge: #7f9cc6;
    --ink: #eaf1fb; --ink-2: #b0c2dd; --blue: #9cc3ff; --on-blue: #0a1b33; --lamp: #ffc266; --glow: #ffc266;
    --way: #ffc266; --good: #84dfb1; --bad: #ffa8a2; --bad-wash: #3b2035;
  }
}
`;

const BASE = `
*, *::before, *::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1.0625rem/1.6 var(--body); overflow-wrap: break-word; }
h1, h2, h3 { font-family: var(--head); line-height: 1.15; margin: 0 0 .6em; font-weight: 600; text-wrap: balance; }
h1 { font-size: clamp(1.8rem, 1.3rem + 2vw, 2.5rem); letter-spacing: -.01em; }
h2 { font-size: 1.5rem; } h3 { font-size: 1.15rem; }
p { margin: 0 0 1em; } ul, ol, dl { margin: 0; padding: 0; } li { list-style: none; } dd { margin: 0; }
a { color: var(--blue); text-underline-offset: .2em; text-decoration-thickness: 1px; }
a:hover { text-decoration-thickness: 2px; }
:focus-visible { outline: 3px solid var(--way); outline-offset: 3px; border-radius: 2px; }
.skip { position: absolute; left: -999rem; } .skip:focus { left: 1rem; top: 1rem; background: var(--sheet); padding: .5rem 1rem; z-index: 1; }
.sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.top, main, .foot { width: min(70rem, 100% - 2.5rem); margin-inline: auto; }
.top { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; align-items: center; justify-content: space-between; padding-block: 1.1rem; }
.brand { display: flex; gap: .6rem; align-items: center; font: 600 1.35rem var(--head); color: var(--ink); text-decoration: none; letter-spacing: .01em; }
.mark { width: 2.1rem; height: 2.1rem; } .mark path { fill: none; stroke: var(--blue); stroke-width: 26; } .mark circle { fill: var(--lamp); }
.top-nav, .foot nav { display: flex; flex-wrap: wrap; gap: .4rem 1.4rem; align-items: center; }
.who { color: var(--ink-2); max-width: 14ch; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
main { padding-block: 1.5rem 4rem; } main > section + section { margin-top: 5.5rem; }
.foot { border-top: 1px solid var(--line); padding-block: 1.5rem 2.5rem; color: var(--ink-2); font-size: .95rem; display: flex; flex-wrap: wrap; justify-content: space-between; gap: .5rem 2rem; }
.foot p { margin: 0; }
.lead { font-size: 1.2rem; color: var(--ink-2); max-width: 56ch; text-wrap: pretty; }
.hint, .optional { color: var(--ink-2); font-size: .92rem; } .optional { font-weight: 400; }
.row { display: flex; flex-wrap: wrap; gap: .7rem 1.2rem; align-items: center; }
.head { display: flex; flex-wrap: wrap; gap: 1rem; align-items: center; justify-content: space-between; margin-bottom: 1.5rem; }
.head h1, .head .hint { margin: 0; }
.crumb { margin-bottom: .8rem; font-size: .95rem; } .crumb::before { content: "\\2190\\00a0"; color: var(--ink-2); }
.narrow { max-width: 30rem; margin-inline: auto; }
.sheet { background: var(--sheet); border: 1px solid var(--line); border-radius: 3px; padding: 1.5rem; margin-bottom: 1.5rem; }
`;

const CONTROLS = `
.button, button { display: inline-block; font: 600 1.05rem/1.3 var(--body); padding: .7em 1.25em; border: 1.5px solid var(--blue); border-radius: 3px; background: var(--blue); color: var(--on-blue); text-decoration: none; cursor: pointer; text-align: center; }
.button:hover, button:hover { box-shadow: inset 0 0 0 2px var(--on-blue); }
.button.small, .top-nav button { font-size: .95rem; padding: .5em 1em; }
.quiet { background: transparent; color: var(--blue); } .button.quiet:hover, button.quiet:hover { background: var(--wash); box-shadow: none; }
button.bad { background: var(--bad); border-color: var(--bad); color: var(--paper); }
.field { margin: 0 0 1.3rem; padding: 0; border: 0; min-width: 0; }
.group { border-top: 1px solid var(--line); padding-top: 1.1rem; margin-top: 1.8rem; } .group legend { float: left; width: 100%; margin-bottom: .9rem; } .group legend + * { clear: both; }
label, legend { display: block; font-weight: 600; padding: 0; margin-bottom: .35rem; }
input:not([type=radio], [type=checkbox]), select { display: block; width: 100%; font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--edge); border-radius: 3px; padding: .6rem .75rem; min-height: 2.9rem; }
input[aria-invalid] { border: 2px solid var(--bad); }
.field .hint, .field .error { margin: .4rem 0 0; }
.error { color: var(--bad); font-weight: 600; font-size: .95rem; }
.choice { display: flex; gap: .8rem; align-items: flex-start; padding: .8rem; border: 1px solid var(--edge); border-radius: 3px; margin-bottom: .5rem; cursor: pointer; }
.choice input { margin: .35rem 0 0; width: 1.1rem; height: 1.1rem; accent-color: var(--blue); flex: none; }
.choice .hint { display: block; font-weight: 400; } .choice:has(:checked) { background: var(--wash); border-color: var(--blue); }
.alert { border-left: 4px solid var(--bad); background: var(--bad-wash); padding: .9rem 1.1rem; margin-bottom: 1.5rem; } .alert p { margin: .2rem 0 0; }
progress { appearance: none; display: block; width: 100%; height: 6px; border: 0; background: var(--line); border-radius: 3px; overflow: hidden; }
progress::-webkit-progress-bar { background: var(--line); } progress::-webkit-progress-value { background: var(--lamp); transition: width .4s ease-out; } progress::-moz-progress-bar { background: var(--lamp); }
summary { cursor: pointer; color: var(--blue); font-weight: 600; padding-block: .4rem; }
`;

const ACCOUNT = `
.middle { max-width: 44rem; margin-inline: auto; } .middle > section { margin-top: 2.5rem; } .middle > section > form { margin-top: -.6rem; }
.entries { padding-block: .4rem; } .entries li { display: flex; gap: 1rem; align-items: center; justify-content: space-between; padding-block: .8rem; } .entries li + li { border-top: 1px solid var(--line); } .entries p { margin: 0; } .entries li > div { min-width: 0; }
button.small { font-size: .95rem; padding: .5em 1em; } .wide { width: 100%; } .ways { display: grid; gap: .8rem; margin-bottom: 1.5rem; } .ways .error { margin: .5rem 0 0; }
.qr { display: block; width: 15rem; max-width: 100%; margin: 0 auto 1.2rem; shape-rendering: crispEdges; } .qr rect { fill: #fff; } .qr path { fill: #000; }
code { font: .92em var(--mono); } .secret { overflow-wrap: anywhere; user-select: all; } .codes { columns: 2; margin-bottom: 1.5rem; } .codes code { font-size: 1rem; }
[data-passkey] + .hint { margin-top: .8rem; }
.letter { white-space: pre-wrap; }
`;

const WIZARD = `
.code { text-align: center; margin: 1.2rem 0; } .code code { font-size: 2rem; letter-spacing: .06em; user-select: all; }
.stages { display: flex; flex-wrap: wrap; counter-reset: stage; gap: .3rem 0; margin: .4rem 0 2rem; font-size: .92rem; color: var(--ink-2); }
.stages li { counter-increment: stage; display: flex; align-items: center; } .stages li + li::before { content: ""; width: 1.1rem; border-top: 1.5px solid var(--line); margin-inline: .45rem; }
.stages .behind, .stages .behind a { color: var(--ink); } .stages .behind + li::before { border-color: var(--blue); }
.sheet > .row:has(+ *) { margin-bottom: 1.2rem; } .stages [aria-current] { color: var(--blue); font-weight: 600; }
`;

const DRAWING = `
.fort { display: block; width: 100%; height: auto; }
.wall { fill: var(--sheet); stroke: var(--blue); stroke-linejoin: miter; stroke-miterlimit: 8; transition: stroke-width .5s, opacity .5s; }
.wall-1 { stroke-width: 1.5; fill: var(--paper); } .wall-2 { stroke-width: 3; } .wall-3 { stroke-width: 2.5; fill: url(#hatch); }
.wall-4 { stroke-width: 11; } .wall-5 { stroke-width: 5; fill: var(--wash); }
.slope { fill: none; stroke: var(--edge); stroke-width: 20; stroke-dasharray: 1 6; stroke-linejoin: bevel; opacity: .55; }
.hatch { stroke: var(--blue); stroke-width: 1; opacity: .45; fill: none; }
.wall.planned, .wall.rising, .wall.broken { fill: none; }
.wall.planned { stroke: var(--edge); stroke-width: 1.5; stroke-dasharray: 7 7; }
.wall.rising { stroke: var(--way); stroke-width: 4; stroke-dasharray: 26 9; animation: raise 2.6s linear infinite; }
.wall.broken { stroke: var(--bad); stroke-width: 4; stroke-dasharray: 18 14; }
@keyframes raise { to { stroke-dashoffset: -70; } }
.flame { fill: var(--lamp); stroke: var(--ink); stroke-width: 1.5; } .glow-in { stop-color: var(--glow); stop-opacity: .95; } .glow-out { stop-color: var(--glow); stop-opacity: 0; }
.lamp.out .glow { opacity: 0; } .lamp.out .flame { fill: var(--paper); stroke: var(--edge); }
.way { stroke: var(--way); stroke-width: 4; fill: none; } .way.shut { opacity: 0; } .held { stroke: var(--edge); stroke-width: 2; stroke-dasharray: 2 7; stroke-linecap: round; fill: none; }
.held-mark { stroke: var(--ink); stroke-width: 2.5; fill: none; }
.numeral circle { fill: var(--paper); stroke: var(--ink); stroke-width: 1.2; } .numeral text { font: 600 15px var(--head); fill: var(--ink); }
.hero { display: grid; gap: 2rem 3.5rem; align-items: center; }
.hero h1 { font-size: clamp(2.3rem, 1.5rem + 3.4vw, 3.7rem); }
.hero-plan { margin: 0; max-width: 35rem; justify-self: center; width: 100%; } .hero-plan figcaption { display: flex; flex-wrap: wrap; gap: .3rem 1.5rem; justify-content: center; font-size: .92rem; color: var(--ink-2); }
.key::before { content: ""; display: inline-block; width: 1.8rem; margin-right: .5rem; vertical-align: middle; border-top: 3px solid var(--way); } .held-key::before { border-top: 2px dotted var(--edge); }
`;

const PARTS = `
.walls { display: grid; gap: 0; counter-reset: wall; }
.walls li { counter-increment: wall; display: grid; grid-template-columns: 2.6rem 1fr; gap: 0 .8rem; padding: 1.9rem 0 1.6rem; }
.walls li::before { content: counter(wall); grid-row: span 3; width: 2.1rem; height: 2.1rem; border: 1.5px solid var(--ink); border-radius: 50%; display: grid; place-items: center; font: 600 1.05rem var(--head); }
.walls h3, .walls p { margin: 0; }
.sample { position: relative; } .sample::after { content: ""; position: absolute; inset: 0 0 auto; height: 12px; border-top: 0 solid var(--blue); }
.sample-1::after { border-top-width: 2px; background: repeating-linear-gradient(90deg, var(--edge) 0 1px, transparent 1px 6px); } .sample-2::after { border-top-width: 4px; }
.sample-3::after { border: solid var(--blue); border-width: 2px 0; background: repeating-linear-gradient(135deg, var(--blue) 0 1px, transparent 1px 6px); } .sample-4::after { border-top-width: 12px; } .sample-5::after { border-top-width: 6px; background: var(--glow); } .technique { font: .88rem var(--mono); color: var(--ink-2); }
.compare { width: 100%; border-collapse: collapse; } .compare th, .compare td { text-align: left; vertical-align: top; padding: .9rem 1rem .9rem 0; border-bottom: 1px solid var(--line); }
.compare thead th:nth-child(3) { padding-left: 1rem; } .compare thead th { font-family: var(--head); border-bottom: 2px solid var(--ink); } .compare tbody th { width: 24%; } .compare td:nth-child(3) { background: var(--sheet); box-shadow: inset 2px 0 var(--blue); padding-left: 1rem; } .compare td:nth-child(2) { color: var(--ink-2); width: 36%; }
.plans { display: grid; gap: 1.2rem; margin-bottom: 1.8rem; } .plan { display: flex; flex-direction: column; border: 1px solid var(--line); border-radius: 3px; background: var(--sheet); padding: 1.4rem; } .plan p { margin: 0; } .plan.marked { border: 2px solid var(--blue); }
.sizes { margin: .9rem 0 1.2rem; font-size: .95rem; color: var(--ink-2); } .sizes li { padding: .15rem 0; } .narrow-left { max-width: 30rem; }
.bills li { display: flex; flex-wrap: wrap; gap: 0 1.2rem; padding: .5rem 0; border-bottom: 1px solid var(--line); } .bills time { color: var(--ink-2); }
.plan form { margin-top: auto; } .price { color: var(--ink-2); } .price .figure { font: 600 2.4rem/1.3 var(--head); color: var(--ink); }
.empty { display: grid; gap: 2rem; align-items: center; } .empty-fort { max-width: 20rem; justify-self: center; width: 100%; }
.agent-card { display: flex; flex-wrap: wrap; gap: .6rem 1.5rem; align-items: center; margin-bottom: .8rem; padding: 1.1rem 1.5rem; } .agent-card > div { flex: 1 1 14rem; min-width: 0; } .agent-card h2 { font-size: 1.2rem; margin: 0; } .agent-card p { margin: 0; }
.state { display: inline-flex; gap: .5em; align-items: center; font-weight: 600; white-space: nowrap; } .state::before { content: ""; width: .7em; height: .7em; border-radius: 50%; border: 2px solid currentColor; }
.state.good { color: var(--good); } .state.good::before { background: currentColor; } .state.busy { color: var(--way); } .state.busy::before { border-right-color: transparent; animation: turn 1.1s linear infinite; } .state.calm { color: var(--ink-2); } .state.bad { color: var(--bad); } .state.bad::before { border-radius: 0; background: currentColor; }
@keyframes turn { to { rotate: 1turn; } }
.agent { display: grid; gap: 2rem 3rem; } .agent > * { min-width: 0; } .sentence { font-size: 1.15rem; } .agent .row { margin-bottom: 1.2rem; } .agent-main > section + section { margin-top: 2rem; }
.story { margin-top: 1rem; } .story li { position: relative; display: grid; grid-template-columns: 1fr auto; gap: 0 1rem; padding: .3rem 0 .3rem 2rem; }
.story li::before { content: ""; position: absolute; left: .2rem; top: .62rem; width: .85rem; height: .85rem; border: 2px solid var(--edge); transform: rotate(45deg); background: var(--sheet); }
.story li + li::after { content: ""; position: absolute; left: calc(.625rem - 1px); top: -.62rem; height: 1rem; border-left: 2px solid var(--line); }
.story .done::before { background: var(--blue); border-color: var(--blue); } .story .doing::before { border-color: var(--way); background: var(--glow); } .story .failed::before { border-color: var(--bad); background: var(--bad); }
.story .waiting { color: var(--ink-2); } .story .doing .step { font-weight: 600; } .story .failed .step { color: var(--bad); font-weight: 600; }
.took { color: var(--ink-2); font: .88rem/1.8 var(--mono); } .why { grid-column: 1 / -1; color: var(--ink-2); font-size: .92rem; } .why progress { margin-top: .4rem; max-width: 20rem; }
.gauges { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1rem; margin-bottom: 1.2rem; } .gauge { margin: 0; padding: 1rem 1.2rem; } .gauge h3 { font-size: 1rem; margin: 0; color: var(--ink-2); } .gauge p { margin: 0; } .gauge strong { font: 600 1.5rem/1.4 var(--head); } .gauge strong, .gauge strong + .hint { white-space: nowrap; }
.spark { display: block; width: 100%; height: 2.5rem; margin: .5rem 0 .3rem; border-bottom: 1px solid var(--line); } .spark path { fill: var(--blue); }
.events li { display: grid; gap: 0 1.2rem; grid-template-columns: 11.5rem 1fr; padding: .45rem 0; border-bottom: 1px solid var(--line); } .events time { color: var(--ink-2); font: .88rem/1.8 var(--mono); } .events .hint { display: block; } .events .failed { color: var(--bad); }
.layers { counter-reset: wall; margin: 1rem 0 2rem; } .layers li { counter-increment: wall; padding: .35rem 0; } .layers li::before { content: counter(wall) ". "; font-weight: 600; } .kept { display: block; color: var(--ink-2); font-size: .92rem; }
.agent-side h2 { font-size: 1.2rem; } .agent-side .fort { max-width: 22rem; }
.verdict { font-size: .92rem; white-space: normal; } .layers .verdict { display: flex; font-weight: 400; }
.attacks + .sheet { margin-top: 1.8rem; } .attacks { border-top: 1px solid var(--line); padding-block: .5rem; } .attacks table { width: 100%; border-collapse: collapse; margin: .4rem 0 1.5rem; } .attacks th, .attacks td { text-align: left; vertical-align: top; padding: .5rem 1rem .5rem 0; border-bottom: 1px solid var(--line); } .attacks td .hint { display: block; } .attacks .evidence { font: .88rem/1.6 var(--mono); color: var(--ink-2); overflow-wrap: anywhere; width: 38%; }
.limits { display: grid; grid-template-columns: auto minmax(6.5rem, 1fr); gap: .2rem 1.2rem; } .limits dt { color: var(--ink-2); }
.sheet > :last-child, .sheet > form:last-child > :last-child { margin-bottom: 0; } .facts { margin-bottom: .8rem; } .agent-side > h2 { margin-top: 2rem; } .agent-side > h2:first-child { margin-top: 0; } .agent-side button + .hint { margin-top: .6rem; } form + p { margin-top: 1rem; } .sheet > form + form { margin-top: 1.5rem; } .alert p + form { margin-top: .7rem; }
.tabs { display: flex; overflow-x: auto; scrollbar-width: none; white-space: nowrap; gap: 0 1.6rem; border-bottom: 1px solid var(--line); margin-bottom: 1.8rem; } .tabs a { padding: .45rem 0; color: var(--ink-2); text-decoration: none; border-bottom: 3px solid transparent; margin-bottom: -1px; } .tabs a:hover { color: var(--ink); } .tabs [aria-current] { color: var(--ink); font-weight: 600; border-color: var(--blue); }
.notice { border-left: 4px solid var(--good); background: var(--sheet); padding: .9rem 1.1rem; } .warn { color: var(--way); font-weight: 600; } .figure-line strong { font: 600 2rem/1.2 var(--head); } .sheet h2 { font-size: 1.25rem; } .sheet .entries { margin-bottom: .6rem; }
.way-back form { text-align: right; } .way-back summary { text-align: right; white-space: nowrap; } .keys { display: grid; gap: 0 1.5rem; align-items: start; } .keys > :not(.sheet) { grid-column: 1 / -1; }
.cell { width: 100%; border-collapse: collapse; margin-bottom: 1rem; } .cell th, .cell td { text-align: left; vertical-align: top; padding: .55rem 1rem .55rem 0; border-bottom: 1px solid var(--line); } .cell .state { white-space: normal; } .cell td:nth-child(2) { min-width: 10rem; } .cell td .hint { display: block; }
.ledger .hash { display: block; font-size: .8rem; color: var(--ink-2); overflow-wrap: anywhere; } .receipts { margin-top: 4rem; }
.danger { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: .6rem; } .danger summary { color: var(--bad); } .danger form { max-width: 28rem; margin-top: .6rem; }
.failure .figure { font: 600 4rem/1 var(--head); color: var(--edge); margin: 1rem 0; }
`;

const OPERATOR = `
.verdict-card { background: var(--sheet); border: 1px solid var(--line); border-left: 6px solid var(--good); border-radius: 3px; padding: 1.4rem 1.6rem; } .verdict-card.poor { border-left-color: var(--lamp); } .verdict-card.bad { border-left-color: var(--bad); } .verdict-card h2 { margin-bottom: .5rem; } .verdict-card > p { margin: .6rem 0 0; }
.findings li { padding: .2rem 0; } .findings .state { white-space: normal; font-weight: 500; } .state.poor { color: var(--way); } .state::before { flex: none; }
.note { margin: 1.2rem 0 0; padding: .8rem 1.1rem; background: var(--wash); border-radius: 3px; }
[data-page="/operator"] > section { margin-top: 2.2rem; } [data-page="/operator"] > .tabs + section { margin-top: 0; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(7rem, 1fr)); gap: 1rem 1.5rem; } .figures dt { color: var(--ink-2); font-size: .92rem; } .figures dd { font: 600 1.9rem/1.2 var(--head); } .figures > div { display: flex; flex-direction: column-reverse; justify-content: flex-end; border-top: 2px solid var(--line); padding-top: .6rem; }
.scroll { overflow-x: auto; margin-bottom: 1rem; } .plain { width: 100%; border-collapse: collapse; font-size: .95rem; } .plain th, .plain td { text-align: left; vertical-align: top; padding: .6rem 1.2rem .6rem 0; border-bottom: 1px solid var(--line); } .plain thead th { font-weight: 600; color: var(--ink-2); white-space: nowrap; } .plain .hint, .plain .warn { display: block; font-weight: 400; } .plain .warn { color: var(--bad); font-weight: 600; } .plain td a { display: inline-block; min-width: 6.5rem; overflow-wrap: anywhere; } .plain time { white-space: nowrap; } .plain .evidence { font: .88rem/1.5 var(--mono); color: var(--ink-2); overflow-wrap: anywhere; min-width: 14rem; }
.facts h2 { font-size: 1.15rem; margin: 1.8rem 0 .5rem; } .facts h2:first-child { margin-top: 0; }
.room { display: block; min-width: 7.5rem; } meter { display: block; width: 100%; height: .55rem; }
.search { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 0 1rem; } .search .row { grid-column: 1 / -1; } .search .field { margin-bottom: 1rem; }
.parts { margin-top: 2rem; } .parts li { padding: 1rem 0; border-top: 1px solid var(--line); } .part { display: flex; flex-wrap: wrap; gap: 0 1rem; justify-content: space-between; margin: 0; } .days { display: block; width: 100%; height: 2.2rem; margin: .5rem 0 .3rem; } .days .good { fill: var(--good); } .days .poor { fill: var(--lamp); } .days .bad { fill: var(--bad); } .days .none { fill: var(--line); }
`;

const WIDTHS = `
@media (min-width: 46rem) { .bills li { display: grid; grid-template-columns: 10.5rem minmax(0, 1fr) 6rem 5rem 7rem; } .plans { grid-template-columns: repeat(3, 1fr); } .keys { grid-template-columns: repeat(2, minmax(0, 1fr)); } .empty { grid-template-columns: 20rem 1fr; } }
@media (min-width: 58rem) { .hero { grid-template-columns: 1fr 1.05fr; } .agent { grid-template-columns: minmax(0, 1fr) 20rem; } .walls { grid-template-columns: repeat(5, 1fr); gap: 0 1.6rem; } .walls li { display: block; } .walls li::before { margin-bottom: .7rem; } .walls p { margin-bottom: .4rem; } }
@media (max-width: 40rem) {
  .cell thead { position: absolute; clip-path: inset(50%); } .cell tr { display: grid; grid-template-columns: 9rem 1fr; border-bottom: 1px solid var(--line); padding-block: .5rem; } .cell th, .cell td { border: 0; padding-block: .1rem; } .cell td:last-child { grid-column: 1 / -1; }
  .top-nav:has(form) { flex: 1 1 100%; min-width: 0; flex-wrap: nowrap; justify-content: space-between; gap: .8rem; font-size: .98rem; } .top-nav > * { flex: none; } .top-nav .who { flex: 0 1 auto; min-width: 0; } .top-nav button { padding: .4em .7em; white-space: nowrap; }
  .tabs { gap: 0 .85rem; font-size: .95rem; } .stages { font-size: .86rem; } .stages li + li::before { width: .5rem; margin-inline: .3rem; } .sheet.entries { padding-block: .3rem; }
  .gauges { gap: .7rem; } .gauge { padding: .8rem .9rem; } .gauge strong { font-size: 1.25rem; }
  .top { gap: .3rem 1rem; } .sheet { padding: 1.1rem; } .events li { grid-template-columns: 1fr; }
  .compare thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .compare, .compare tbody, .compare tr, .compare th, .compare td { display: block; width: auto !important; } .compare tr { border-bottom: 1px solid var(--line); padding: 1rem 0; } .compare tbody th, .compare td { border: 0; padding: .2rem 0; } .compare td:nth-child(3) { padding: .4rem .8rem; margin-top: .4rem; } .compare td::before { content: attr(data-label); display: block; font-weight: 600; font-size: .88rem; }
}
@media (prefers-reduced-motion: reduce) { *, *::before, *::after { animation: none !important; transition: none !important; scroll-behavior: auto !important; } }
@media (forced-colors: active) { .wall, .way { stroke: CanvasText; } .state::before { border-color: CanvasText; } }
`;

export const STYLE = [TOKENS, BASE, CONTROLS, ACCOUNT, WIZARD, DRAWING, PARTS, OPERATOR, WIDTHS].join("").trimStart();
