// Frames with the people found in them: boxes to click, and a small picture of each.

const BIGGEST_FIRST = (a, b) => area(b.box) - area(a.box);
const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);

// Shows one frame with its boxes. `toggle(id)` is called for a click.
export function drawFrame(root, url, name, frame, keep, toggle) {
  const picture = document.createElement("img");
  picture.src = url;
  picture.alt = `${name} as it is`;
  root.replaceChildren(picture);
  if (!frame) return;
  // Small boxes last, so that they lie on top and a face can be clicked inside of its body.
  for (const found of [...frame.boxes].sort(BIGGEST_FIRST)) root.append(box(found, frame, keep, toggle));
}

function box(found, frame, keep, toggle) {
  const button = document.createElement("button");
  const [x0, y0, x1, y1] = found.box;
  const share = (value, whole) => `${Math.min(100, Math.max(0, (value / whole) * 100))}%`;
  button.className = "face";
  button.style.left = share(x0, frame.width);
  button.style.top = share(y0, frame.height);
  button.style.width = share(Math.min(x1, frame.width) - Math.max(0, x0), frame.width);
  button.style.height = share(Math.min(y1, frame.height) - Math.max(0, y0), frame.height);
  button.dataset.id = found.id ?? "";
  button.disabled = found.id === null;
  mark(button, found, keep, false);
  button.onclick = () => toggle(found.id);
  return button;
}

// What happens to somebody, before the result is made and after.
const fate = (stays, done) => (stays ? (done ? "stayed" : "stays") : done ? "changed" : "will change");

function mark(button, found, keep, done) {
  const stays = keep.has(found.id);
  button.setAttribute("aria-pressed", stays);
  const what = found.kind.replace("_", " ");
  button.title = found.id === null ? `${what}: has no track, so it will change` : `${what}: ${fate(stays, done)}`;
  // What a screen reader says must not change with the state, which `aria-pressed` tells.
  button.setAttribute("aria-label", `${what} ${found.id?.split(":")[1] ?? ""} stays; score ${found.score}`);
}

export function markAll(roots, keep, done) {
  for (const root of roots)
    for (const button of root.querySelectorAll("[data-id]")) {
      const stays = keep.has(button.dataset.id);
      button.setAttribute("aria-pressed", stays);
      const word = button.querySelector("span");
      if (word) word.textContent = fate(stays, done);
      else if (!button.disabled) button.title = button.title.replace(/: .*/, `: ${fate(stays, done)}`);
    }
}

// One small picture a person, cut from the frame in which it is largest.
export async function drawChips(root, frames, urlOf, keep, toggle, stale) {
  const best = new Map();
  frames.forEach((frame, number) => {
    for (const found of frame.boxes)
      if (found.id !== null && area(found.box) > area(best.get(found.id)?.found.box ?? [0, 0, 0, 0])) best.set(found.id, { found, number });
  });
  root.replaceChildren();
  // Small and doubtful ones last: among them are those that are nobody.
  const weight = ({ found }) => found.score * Math.sqrt(area(found.box));
  const chips = [...best.values()].sort((a, b) => weight(b) - weight(a)).map(({ found, number }) => ({ number, found, chip: chipOf(found, keep, toggle) }));
  root.append(...chips.map(({ chip }) => chip));
  for (const [number, frame] of frames.entries()) {
    const wanted = chips.filter((made) => made.number === number);
    if (!wanted.length) continue;
    const picture = new Image();
    picture.src = urlOf(number);
    try { await picture.decode(); } catch { continue; }
    if (stale()) return;
    for (const { found, chip } of wanted) cut(chip.querySelector("canvas"), picture, found.box, picture.naturalWidth / frame.width);
  }
}

function chipOf(found, keep, toggle) {
  const chip = document.createElement("button");
  chip.className = "chip";
  chip.dataset.id = found.id;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 112;
  const word = document.createElement("span");
  word.textContent = fate(keep.has(found.id), false);
  chip.append(canvas, word);
  chip.setAttribute("aria-pressed", keep.has(found.id));
  chip.setAttribute("aria-label", `${found.kind.replace("_", " ")} ${found.id.split(":")[1]} stays`);
  chip.onclick = () => toggle(found.id);
  return chip;
}

function cut(canvas, picture, [x0, y0, x1, y1], scale) {
  const side = Math.max(x1 - x0, y1 - y0) * 1.25 * scale;
  const left = ((x0 + x1) / 2) * scale - side / 2;
  const top = ((y0 + y1) / 2) * scale - side / 2;
  canvas.getContext("2d").drawImage(picture, left, top, side, side, 0, 0, canvas.width, canvas.height);
}
