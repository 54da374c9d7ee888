// 3D viewer of one configuration, drawn by 3Dmol. Python sends the data (see app/structures/atomview.py); the viewer sends back
// the atom that was clicked. One viewer lives as long as its place on the page, so the camera survives a recolouring.

const views = new WeakMap();
const linked = new Map(); // by name of the link: the views that turn together

const HELP =
  "Drag to rotate, click and then scroll to zoom, click an atom to pick it. " +
  "Keys: arrows rotate, + and - zoom, x y z look along an axis, r resets the view.";
const NO_WEBGL =
  "This browser cannot draw 3D pictures (WebGL is missing or switched off). The atom table below holds the same data.";
const NO_LIBRARY = "The 3D library could not be loaded. The atom table below holds the same data.";
const CONTEXT_LOST = "The browser took the graphics memory away.";
const MISSING = "#9a9a9a"; // an atom without a value
const EDGE = "#848c94"; // reads on white and on black
const MAX_OUTLINED = 2000; // atoms
const MAX_SCALE = 45; // px per Å when the view is fitted: a cell of two atoms need not fill the box
const TURN = 15; // degrees per arrow key

export default function (component) {
  const root = component.parentElement;
  const view = views.get(root) ?? mount(root);
  view.component = component;
  // Drawing waits for the library, and the data may change meanwhile: one at a time, in order.
  view.queue = view.queue.then(() => draw(view, component.data)).catch((error) => fail(view, error));
  return () => setTimeout(() => (root.host ?? root).isConnected || dispose(view));
}

function mount(root) {
  const part = (name) => root.querySelector(`.av-${name}`);
  const view = {
    root, gl: part("gl"), bar: part("bar"), tools: part("tools"), status: part("status"), notice: part("notice"),
    ring: part("ring"), tag: part("tag"), queue: Promise.resolve(), selected: null, shapes: [],
  };
  addTools(view);
  addKeys(view);
  watchSize(view);
  views.set(root, view);
  return view;
}

// 3Dmol hands the camera on to linked viewers, without their handing it back.
function join(view) {
  const group = linked.get(view.data.link) ?? new Set();
  if (!view.data.link || group.has(view)) return;
  for (const other of group) {
    other.viewer?.linkViewer(view.viewer);
    if (other.viewer) view.viewer.linkViewer(other.viewer);
  }
  linked.set(view.data.link, group.add(view));
}

function leave(view) {
  const group = linked.get(view.data?.link);
  if (!group?.delete(view)) return;
  for (const other of group) if (other.viewer) other.viewer.linkedViewers = other.viewer.linkedViewers.filter((one) => one !== view.viewer);
}

// A view that the reader turned keeps its camera when its box changes, and so do those that turned with it.
function keepCamera(view) {
  for (const one of [view, ...(linked.get(view.data?.link) ?? [])]) one.refit = null;
}

function dispose(view) {
  view.gl.removeAttribute("data-ready");
  view.resizer.disconnect();
  release(view);
  views.delete(view.root);
}

// 3Dmol has no destructor. Its one context serves every viewer of the page and must stay; buffers and observers go.
function release(view) {
  const { viewer } = view;
  leave(view);
  view.viewer = null;
  viewer?.divwatcher?.disconnect();
  viewer?.intwatcher?.disconnect();
  viewer?.clear();
}

async function draw(view, data) {
  view.data = data;
  view.gl.style.height = `${data.height}px`;
  view.gl.setAttribute("aria-label", data.alt);
  readTheme(view);
  if (!view.viewer && !(await createViewer(view))) return;
  join(view);
  view.notice.hidden = true;
  view.selected = data.selected;
  if (sceneOf(data) !== view.scene) drawScene(view);
  placeMark(view);
  tell(view, view.selected);
  view.gl.dataset.ready = data.structure;
  view.gl.dataset.selected = view.selected ?? "";
  view.gl.dataset.color = data.label ?? "element";
}

// Everything that needs new geometry; a change of the selected atom alone does not.
function sceneOf({ structure, values, label, vmax, faint, arrows, theme }) {
  return JSON.stringify([structure, values, label, vmax, faint, arrows, theme]);
}

function drawScene(view) {
  const isNew = view.structure !== view.data.structure;
  if (isNew) build(view);
  paint(view);
  drawBar(view);
  drawShapes(view);
  // Frames of one trajectory share a camera, so that playing it does not turn it back at every frame.
  if (isNew && !(view.data.camera && view.data.camera === view.camera)) fit(view, DEFAULT_VIEW, true);
  view.camera = view.data.camera;
  view.viewer.render();
  view.scene = sceneOf(view.data);
}

function fail(view, error) {
  console.error(error);
  notify(view, NO_LIBRARY);
}

// ---- library and context

// A viewer that left the page has no size, and 3Dmol would go on drawing into its empty buffers: dozens of errors a visit.
function spareHidden(viewers) {
  if (viewers.sparesHidden) return;
  viewers.sparesHidden = true;
  for (const name of ["resize", "show"]) {
    const draws = viewers[name];
    viewers[name] = function (...given) {
      return this.container.clientWidth && this.container.clientHeight ? draws.apply(this, given) : this;
    };
  }
}

async function createViewer(view) {
  let library;
  try {
    library = await import(new URL(view.data.script, document.baseURI).href);
    spareHidden(library.GLViewer.prototype);
  } catch (error) {
    fail(view, error);
    return false;
  }
  try {
    view.viewer = library.createViewer(view.gl, {
      antialias: true, orthographic: true, disableFog: true, backgroundAlpha: 0, hoverDuration: 80,
    });
  } catch (error) {
    console.error(error);
  }
  if (!view.viewer || view.viewer.getRenderer().isLost()) {
    view.viewer = null;
    notify(view, NO_WEBGL);
    return false;
  }
  view.viewer.setViewChangeCallback(() => placeMark(view));
  watchContext(view);
  // For tests and scripts: the drawing library's viewer, and where an atom is in the window.
  view.gl.atomview = { viewer: view.viewer, screenOf: (index) => screenOf(view, index) };
  return true;
}

function watchContext(view) {
  // 3Dmol draws off screen and copies: the context's own canvas hears of the loss, not the one on the page.
  view.viewer.getRenderer().getContext().canvas.addEventListener("webglcontextlost", () => {
    view.gl.removeAttribute("data-ready");
    if (view.viewer) notify(view, CONTEXT_LOST, "Draw again", () => restore(view));
  });
}

// 3Dmol's own recovery keeps buffers of the dead context (seen in 2.5.5): start anew, from the same camera.
function restore(view) {
  const sight = view.viewer.getView();
  release(view);
  view.gl.replaceChildren();
  view.structure = view.scene = null;
  view.notice.hidden = true;
  view.queue = view.queue.then(() => draw(view, view.data)).then(() => {
    view.viewer?.setView(sight);
    view.viewer?.render();
  });
}

function notify(view, text, action, onClick) {
  view.notice.replaceChildren(text);
  if (action) view.notice.append(button(action, action, onClick));
  view.notice.hidden = false;
}

function readTheme(view) {
  const style = getComputedStyle(view.root.host ?? view.root);
  const read = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
  view.background = read("--st-background-color", "#ffffff");
  view.foreground = read("--st-text-color", "#333333");
  view.accent = read("--st-primary-color", "#0072b2");
  view.font = read("--st-font", "sans-serif");
}

// ---- scene

function decode(text, Kind) {
  return new Kind(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

function build(view) {
  const { data, viewer } = view;
  viewer.removeAllModels();
  viewer.removeAllShapes();
  view.shapes = [];
  view.structure = data.structure;
  view.numbers = decode(data.numbers, Uint8Array);
  view.positions = decode(data.positions, Float32Array);
  const atoms = Array.from(view.numbers, (number, index) => ({
    elem: data.kinds[number].symbol, ...point(view.positions, index), serial: index, index,
    bonds: [], bondOrder: [], hetflag: true,
  }));
  viewer.addModel().addAtoms(atoms);
  // Outlines draw every sphere twice, which a large structure feels and does not need.
  viewer.setViewStyle(atoms.length > MAX_OUTLINED ? {} : { style: "outline", color: "black", width: 0.012 });
  viewer.setClickable({}, true, (atom) => pick(view, atom.serial));
  viewer.setHoverable({}, true, (atom) => tell(view, atom.serial), () => tell(view, view.selected));
}

function point(values, index) {
  return { x: values[3 * index], y: values[3 * index + 1], z: values[3 * index + 2] };
}

function cellCorner(cell, i, j, k) {
  const along = (axis) => i * cell[axis] + j * cell[3 + axis] + k * cell[6 + axis];
  return { x: along(0), y: along(1), z: along(2) };
}

function paint(view) {
  const { data, viewer, numbers } = view;
  view.values = data.values && decode(data.values, Float32Array);
  const faint = data.faint && decode(data.faint, Uint8Array);
  for (const { symbol, color, radius } of Object.values(data.kinds)) {
    const style = (size) => ({ sphere: { radius: radius * size, colorfunc: (atom) => colorOf(view, atom.serial, color) } });
    viewer.setStyle({ elem: symbol }, style(1));
    if (faint) viewer.setStyle({ elem: symbol, predicate: (atom) => faint[atom.serial] === 1 }, style(0.3));
  }
  view.radiusOf = (index) => data.kinds[numbers[index]].radius * (faint?.[index] ? 0.3 : 1);
}

function colorOf(view, index, elementColor) {
  if (!view.values) return elementColor;
  const value = view.values[index];
  if (!Number.isFinite(value)) return MISSING;
  const { vmin, vmax, palette } = view.data;
  const share = Math.min(1, Math.max(0, (value - vmin) / (vmax - vmin)));
  return palette[Math.round(share * (palette.length - 1))];
}

function drawShapes(view) {
  const { data, viewer } = view;
  view.shapes.forEach((shape) => viewer.removeShape(shape));
  view.shapes = [...cellEdges(view), ...arrows(view)];
  view.gl.dataset.arrows = data.arrows.length;
}

function cellEdges(view) {
  const { data, viewer } = view;
  const corner = (...at) => cellCorner(data.cell, ...at);
  const edges = [[0, 0], [0, 1], [1, 0], [1, 1]].flatMap(([i, j]) => [
    [corner(0, i, j), corner(1, i, j)], [corner(i, 0, j), corner(i, 1, j)], [corner(i, j, 0), corner(i, j, 1)],
  ]);
  return edges.map(([start, end]) => viewer.addCylinder({ start, end, radius: 0.04, color: EDGE, fromCap: 2, toCap: 2 }));
}

function arrows(view) {
  const { data, viewer } = view;
  return data.arrows.map(({ index, vector, color }) => {
    const center = point(view.positions, index);
    const length = Math.hypot(...vector);
    // From the surface of the sphere, which would hide a short arrow that starts at its centre.
    const along = (distance) => {
      const [x, y, z] = vector.map((part) => (part / length) * (view.radiusOf(index) + distance));
      return { x: center.x + x, y: center.y + y, z: center.z + z };
    };
    return viewer.addArrow({ start: along(-0.2), end: along(length), radius: 0.16, radiusRatio: 2, mid: 0.7, color });
  });
}

// The mark lies over the canvas, so that atoms in front do not hide it.
function placeMark(view) {
  const { viewer, selected, ring, tag, gl } = view;
  const isMarked = viewer && view.numbers && selected != null && selected < view.numbers.length;
  ring.hidden = tag.hidden = !isMarked;
  if (!isMarked) return;
  const at = markOf(view);
  const box = gl.getBoundingClientRect();
  Object.assign(ring.style, { left: `${at.x}px`, top: `${at.y}px`, width: `${2 * at.radius}px`, height: `${2 * at.radius}px` });
  const isHigh = at.y - at.radius < 40;
  tag.textContent = `${symbolOf(view, selected)} ${selected}`;
  Object.assign(tag.style, {
    left: `${Math.min(box.width - 30, Math.max(30, at.x))}px`,
    top: `${isHigh ? at.y + at.radius + 12 : at.y - at.radius - 12}px`,
  });
}

function markOf(view) {
  const at = screenOf(view, view.selected);
  const box = view.gl.getBoundingClientRect();
  return { x: at.x - box.left, y: at.y - box.top, radius: scaleOf(view) * view.radiusOf(view.selected) + 3 };
}

// px per Å: in an orthographic picture the squares of three projected unit vectors add up to twice its square.
function scaleOf(view) {
  const origin = { x: 0, y: 0, z: 0 };
  const [at, ...ends] = view.viewer.modelToScreen([origin, ...["x", "y", "z"].map((axis) => ({ ...origin, [axis]: 1 }))]);
  return Math.sqrt(ends.reduce((sum, end) => sum + (end.x - at.x) ** 2 + (end.y - at.y) ** 2, 0) / 2);
}

function symbolOf(view, index) {
  return view.data.kinds[view.numbers[index]].symbol;
}

function pick(view, index) {
  view.selected = view.selected === index ? null : index;
  placeMark(view);
  tell(view, view.selected);
  view.gl.dataset.selected = view.selected ?? "";
  // A trigger, not a state: picking the same atom again after a chart chose another one must be heard too.
  view.component.setTriggerValue("picked", { atom: view.selected });
}

// ---- camera

const degrees = Math.PI / 180;
const about = (axis, angle) => {
  const half = (angle * degrees) / 2;
  return [...["x", "y", "z"].map((name) => (name === axis ? Math.sin(half) : 0)), Math.cos(half)];
};
// Quaternions as 3Dmol orders them: x, y, z, w. The right-hand turn happens first.
const after = ([ax, ay, az, aw], [bx, by, bz, bw]) => [
  aw * bx + ax * bw + ay * bz - az * by,
  aw * by - ax * bz + ay * bw + az * bx,
  aw * bz + ax * by - ay * bx + az * bw,
  aw * bw - ax * bx - ay * by - az * bz,
];
const turned = (q, [x, y, z]) => after(after(q, [x, y, z, 0]), [-q[0], -q[1], -q[2], q[3]]).slice(0, 3);

const DEFAULT_VIEW = after(about("x", -74), about("z", -24)); // from above the side, third axis up
const AXES = { x: [-0.5, -0.5, -0.5, 0.5], y: about("x", -90), z: about("x", 0) };

// Corners of the cell and all atoms: what must be in view.
function outline({ data, numbers, positions }) {
  const points = [0, 1].flatMap((i) => [0, 1].flatMap((j) => [0, 1].map((k) => cellCorner(data.cell, i, j, k))));
  for (let index = 0; index < numbers.length; index++) points.push(point(positions, index));
  return points.map(({ x, y, z }) => [x, y, z]);
}

// Look along a direction, with atoms and cell centred and filling the box. 3Dmol's zoomTo leaves a wide margin, knows
// nothing of the cell, and each of its camera calls draws the scene: compute the view and set it once.
function fit(view, quaternion, mayLayDown = false) {
  const { viewer, gl, data } = view;
  const points = outline(view);
  const middle = [0, 1, 2].map((axis) => range(points.map((at) => at[axis]))).map(({ low, high }) => (low + high) / 2);
  const projected = points.map((at) => turned(quaternion, at.map((value, axis) => value - middle[axis])));
  const radius = Math.max(...Object.values(data.kinds).map((kind) => kind.radius));
  const [width, height] = [0, 1].map((axis) => range(projected.map((at) => at[axis]))).map((r) => r.high - r.low + 2 * radius);
  if (mayLayDown && height > 1.2 * width) {
    fit(view, after(about("z", 90), quaternion)); // the box is wider than high
    return;
  }
  const free = { width: gl.clientWidth - (data.values ? 230 : 60), height: gl.clientHeight - 96 };
  const scale = Math.min(free.width / width, free.height / height, MAX_SCALE);
  const distance = gl.clientWidth / (2 * scale * Math.tan(viewer.fov * degrees));
  viewer.setView([...middle.map((value) => -value), viewer.CAMERA_Z - distance, ...quaternion]);
  view.refit = () => fit(view, quaternion);
}

function lookAlong(view, axis) {
  fit(view, AXES[axis]);
}

// The page may give the box its width only after the first drawing; a view that nobody turned follows.
function watchSize(view) {
  view.resizer = new ResizeObserver(() => {
    if (!view.viewer || !view.refit || view.isSaving || !view.gl.clientWidth) return;
    view.viewer.resize();
    view.refit();
  });
  view.resizer.observe(view.gl);
}

function range(values) {
  return values.reduce((r, v) => ({ low: Math.min(r.low, v), high: Math.max(r.high, v) }), { low: Infinity, high: -Infinity });
}

function screenOf(view, index) {
  const at = view.viewer.modelToScreen(point(view.positions, index));
  return { x: at.x - window.scrollX, y: at.y - window.scrollY };
}

// ---- tools, keys, status

function button(text, title, onClick) {
  const made = document.createElement("button");
  Object.assign(made, { type: "button", textContent: text, title, onclick: onClick });
  made.setAttribute("aria-label", title);
  return made;
}

function addTools(view) {
  const when = (action) => () => view.viewer && action();
  for (const axis of ["x", "y", "z"]) {
    view.tools.append(button(axis, `Look along ${axis}`, when(() => lookAlong(view, axis))));
  }
  view.tools.append(button("Reset", "Reset the view", when(() => fit(view, DEFAULT_VIEW, true))));
  view.tools.append(button("PNG", "PNG: Download this view as a picture, three times the screen's size", when(() => savePng(view))));
  view.gl.title = HELP;
}

function addKeys(view) {
  const turn = (angle, axis) => () => view.viewer.rotate(angle, axis);
  const actions = {
    ArrowLeft: turn(-TURN, "y"), ArrowRight: turn(TURN, "y"), ArrowUp: turn(-TURN, "x"), ArrowDown: turn(TURN, "x"),
    "+": () => view.viewer.zoom(1.15), "-": () => view.viewer.zoom(1 / 1.15), r: () => fit(view, DEFAULT_VIEW, true),
    x: () => lookAlong(view, "x"), y: () => lookAlong(view, "y"), z: () => lookAlong(view, "z"),
  };
  view.gl.addEventListener("keydown", (event) => {
    if (!view.viewer || !(event.key in actions) || event.ctrlKey || event.metaKey) return;
    keepCamera(view);
    actions[event.key]();
    event.preventDefault();
    event.stopPropagation(); // Streamlit has one-letter shortcuts of its own
  });
  // 3Dmol takes every turn of the wheel, which traps the page's scrolling: let it have them only once focused.
  const isActive = () => view.root.activeElement === view.gl || document.activeElement === view.gl;
  const wheel = (event) => {
    if (isActive() || event.ctrlKey) keepCamera(view);
    else event.stopPropagation();
  };
  view.gl.addEventListener("wheel", wheel, { capture: true, passive: true });
  view.gl.addEventListener("pointerdown", () => {
    keepCamera(view);
    view.gl.focus({ preventScroll: true });
  });
}

function tell(view, index) {
  const { data } = view;
  if (index == null) view.status.textContent = `${view.numbers.length} atoms`;
  else {
    const value = view.values ? ` · ${data.label} ${format(view.values[index])} ${data.unit}` : "";
    view.status.textContent = `atom ${index} · ${symbolOf(view, index)}${value}`;
  }
}

function format(value) {
  if (!Number.isFinite(value)) return "not available";
  if (value === 0) return "0";
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

// ---- colour bar

function ticks(low, high) {
  const raw = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const digits = Math.max(0, -Math.floor(Math.log10(step)) + (step / power === 2.5 ? 1 : 0));
  const made = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high * (1 + 1e-9); k++) {
    made.push({ share: (k * step - low) / (high - low), text: (k * step).toFixed(digits) });
  }
  return made;
}

// Values above the clip share the last colour; the bar must not look as if it ended with the data.
function barTicks({ vmin, vmax, clipped }) {
  const made = ticks(vmin, vmax);
  return clipped ? [...made.filter(({ share }) => share < 0.94), { share: 1, text: `≥ ${format(vmax)}` }] : made;
}

function element(className, text) {
  const made = document.createElement("div");
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function drawBar(view) {
  const { data, bar } = view;
  bar.replaceChildren();
  bar.classList.toggle("av-legend", !view.values);
  if (!view.values) bar.append(...elementLegend(view));
  else {
    const ramp = element("av-ramp");
    ramp.style.background = `linear-gradient(to top, ${data.palette.join(",")})`;
    const scale = element("av-scale");
    for (const { share, text } of barTicks(data)) {
      const tick = element("av-tick", text);
      tick.style.bottom = `${100 * share}%`;
      scale.append(tick);
    }
    bar.append(element("av-label", barLabel(data)), scale, ramp);
  }
}

function barLabel(data) {
  return `${data.label} (${data.unit})`;
}

function elementLegend(view) {
  const counts = {};
  view.numbers.forEach((number) => (counts[number] = (counts[number] ?? 0) + 1));
  return Object.entries(view.data.kinds).map(([number, kind]) => {
    const row = element("av-kind", `${kind.symbol} × ${counts[number]}`);
    const dot = element("av-dot");
    dot.style.background = kind.color;
    row.prepend(dot);
    return row;
  });
}

// ---- picture

function savePng(view, times = 3) {
  const { gl, viewer } = view;
  const [width, height] = [gl.clientWidth, gl.clientHeight];
  view.isSaving = true;
  gl.style.width = `${width * times}px`;
  gl.style.height = `${height * times}px`;
  viewer.resize();
  viewer.render();
  const scene = document.createElement("canvas");
  Object.assign(scene, { width: width * times, height: height * times });
  scene.getContext("2d").drawImage(viewer.getCanvas(), 0, 0, scene.width, scene.height);
  gl.style.width = "";
  gl.style.height = `${height}px`;
  viewer.resize();
  viewer.render();
  requestAnimationFrame(() => (view.isSaving = false)); // after the observer has seen the old size again
  const picture = compose(view, scene, width, height, times);
  picture.toBlob((blob) => {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: view.data.filename });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

function compose(view, source, width, height, times) {
  const canvas = Object.assign(document.createElement("canvas"), { width: source.width, height: source.height });
  const pen = canvas.getContext("2d");
  pen.fillStyle = view.background;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(source, 0, 0);
  pen.scale(times, times);
  pen.fillStyle = view.foreground;
  pen.font = `13px ${view.font}`;
  if (view.values) composeBar(view, pen, width, height);
  if (!view.ring.hidden) composeMark(view, pen);
  return canvas;
}

function composeBar(view, pen, width, height) {
  const { data } = view;
  const [x, top, bottom] = [width - 26, 56, height - 40];
  const ramp = pen.createLinearGradient(0, bottom, 0, top);
  data.palette.forEach((color, index) => ramp.addColorStop(index / (data.palette.length - 1), color));
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const { share, text } of barTicks(data)) pen.fillText(text, x - 6, bottom + share * (top - bottom));
  pen.save();
  pen.translate(x - 60, (top + bottom) / 2);
  pen.rotate(-Math.PI / 2);
  pen.textAlign = "center";
  pen.fillText(barLabel(data), 0, 0);
  pen.restore();
  pen.fillStyle = ramp;
  pen.fillRect(x, top, 12, bottom - top);
}

function composeMark(view, pen) {
  const at = markOf(view);
  pen.strokeStyle = pen.fillStyle = view.accent;
  pen.lineWidth = 2.5;
  pen.beginPath();
  pen.arc(at.x, at.y, at.radius, 0, 2 * Math.PI);
  pen.stroke();
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(view.tag.textContent, at.x, at.y - at.radius - 10);
}
