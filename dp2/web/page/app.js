// The page: files on the left, what to do with them on the right. The server holds the truth; this shows it.

import * as api from "/page/api.js";
import { Camera } from "/page/camera.js";
import { comparePhotos, compareVideos, stopCompare } from "/page/compare.js";
import { drawChips, drawFrame, markAll } from "/page/people.js";

const $ = (id) => document.getElementById(id);
const KNOWN = "dp2-references"; // which uploads are reference faces: survives a reload of this tab

const state = { items: [], current: null, references: [], anonymizers: [], about: null, uploading: null };

class Item {
  constructor(media) {
    this.media = media;
    this.found = null; // finished job `detect`
    this.result = null; // finished job `anonymize`
    this.keep = new Set();
    this.running = null; // the job that works on it now
    this.problem = "";
    this.frame = 0;
    this.mode = "people";
  }
  get photo() { return this.media.kind === "image"; }
  get people() { return this.found?.people ?? []; }
  get ids() { return [...new Set(this.people.flatMap((frame) => frame.boxes.map((box) => box.id)).filter((id) => id !== null))]; }
}

// ---- what is shown -------------------------------------------------------------------------------------------------

function show() {
  const item = state.current;
  $("drop").hidden = state.items.length > 0;
  $("view").hidden = !item;
  $("strip").hidden = state.items.length === 0;
  drawStrip();
  drawView(item);
  drawWho(item);
  drawActions(item);
}

function drawStrip() {
  const tiles = state.items.map((item) => {
    const tile = document.createElement("button");
    const picture = document.createElement("img");
    picture.src = `/api/media/${item.media.id}/preview`;
    picture.alt = item.media.name;
    tile.append(picture);
    tile.title = item.media.name;
    tile.setAttribute("aria-current", item === state.current);
    tile.onclick = () => select(item);
    const words = item.result ? "done" : item.running ? "…" : item.problem ? "!" : item.photo ? "" : duration(item.media.seconds);
    if (words) {
      const badge = document.createElement("span");
      badge.className = item.result ? "badge done" : "badge";
      badge.textContent = words;
      tile.append(badge);
    }
    return tile;
  });
  const more = document.createElement("label");
  more.textContent = "+";
  more.title = "Add files";
  more.htmlFor = "upload";
  $("strip").replaceChildren(...tiles, more);
}

let drawn = ""; // what the view shows, so that it is not drawn again under somebody's finger

function drawView(item) {
  if (!item) { stopCompare($("compare")); $("people").replaceChildren(); drawn = ""; return; }
  const compare = item.mode === "compare" && item.result !== null;
  $("view-name").textContent = `${item.media.name} · ${item.media.width}×${item.media.height}`;
  $("show-people").setAttribute("aria-pressed", !compare);
  $("show-compare").setAttribute("aria-pressed", compare);
  $("show-compare").disabled = !item.result;
  $("people").hidden = compare;
  $("compare").hidden = !compare;
  $("frames").hidden = compare || item.people.length < 2;
  const frame = item.people[item.frame];
  $("frame-label").textContent = frame ? `Frame ${item.frame + 1} of ${item.people.length} · ${clock(frame.time)}` : "";
  const wanted = [item.media.id, compare ? item.result.id : item.found?.id, compare, item.frame].join();
  if (wanted === drawn) return;
  drawn = wanted;
  if (!compare) {
    stopCompare($("compare"));
    const url = frame ? `/api/jobs/${item.found.id}/frames/${item.frame}` : `/api/media/${item.media.id}/preview`;
    drawFrame($("people"), url, frame, item.keep, (id) => toggle(item, id));
  } else if (item.photo) {
    comparePhotos($("compare"), `/api/media/${item.media.id}/preview`, `/api/jobs/${item.result.id}/preview`);
  } else if (/\.(gif|webp)$/.test(item.result.filename)) {
    comparePhotos($("compare"), `/api/media/${item.media.id}/source`, `/api/jobs/${item.result.id}/result`);
  } else {
    compareVideos($("compare"), `/api/media/${item.media.id}/source`, `/api/jobs/${item.result.id}/result`);
  }
}

let chipsOf = null; // the detections whose chips are shown

function drawWho(item) {
  $("who").hidden = !item;
  if (!item) { chipsOf = null; return; }
  const ids = item.ids;
  $("who-count").textContent = item.found && ids.length ? `${item.keep.size} of ${ids.length}` : "";
  $("detect").hidden = Boolean(item.found || item.running);
  $("who-all").hidden = ids.length === 0;
  $("who-hint").textContent = item.running?.task === "detect" ? "Looking for people…"
    : !item.found ? "Find people first, then click whom to keep; or anonymize everybody at once."
    : ids.length ? "Click a face to keep it as it is. Everybody else is changed."
    : "Nobody was found.";
  if (chipsOf === item.found) return;
  chipsOf = item.found;
  const mine = item.found;
  drawChips($("chips"), item.people, (number) => `/api/jobs/${mine.id}/frames/${number}`, item.keep, (id) => toggle(item, id), () => chipsOf !== mine);
}

function drawActions(item) {
  const running = item?.running;
  const open = state.items.filter((other) => !other.result && !other.running);
  const busy = state.uploading !== null || Boolean(running);
  $("progress").hidden = !busy;
  if (state.uploading !== null) progress(`Uploading ${state.uploading.name}`, state.uploading.share);
  else if (running) progress(words(running), running.total ? running.done / running.total : null);
  $("cancel").hidden = state.uploading !== null;
  const problem = item?.problem || state.problem || "";
  $("problem").hidden = !problem;
  $("problem").textContent = problem;
  const done = item?.result && !running;
  $("outcome").hidden = !done;
  $("outcome").textContent = done ? [item.result.said, ...item.result.notes].join("\n") : "";
  $("download").hidden = !done;
  if (done) {
    $("download").href = `/api/jobs/${item.result.id}/result`;
    $("download").download = item.result.filename;
    $("download").textContent = `Download ${item.result.filename}`;
  }
  $("run").hidden = Boolean(done) && open.length === 0;
  $("run").disabled = open.length === 0;
  $("run").textContent = open.length > 1 ? `Anonymize ${open.length} files` : "Anonymize";
}

function progress(text, share) {
  $("progress-words").textContent = text;
  $("fill").parentElement.classList.toggle("unknown", share === null);
  $("fill").style.width = share === null ? "" : `${Math.round(share * 100)}%`;
}

function words(job) {
  if (job.state === "queued") return job.place > 1 ? `${job.place - 1} before you in the queue` : "Next in the queue";
  const what = job.task === "detect" ? "Looking for people" : "Anonymizing";
  if (!job.total || job.total < 2 || !job.done) return `${what}…`;
  const rate = job.done / job.seconds;
  return `${what}: ${job.done} of ${job.total} · ${rate.toFixed(0)} frames/s · ${clock((job.total - job.done) / rate)} left`;
}

const duration = (seconds) => (seconds == null ? "" : clock(seconds));
function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

// ---- what is done --------------------------------------------------------------------------------------------------

function select(item) {
  state.current = item;
  state.problem = "";
  show();
}

function toggle(item, id) {
  if (item.keep.has(id)) item.keep.delete(id);
  else item.keep.add(id);
  changed(item);
}

// The choice is another one than the result was made with.
function changed(item) {
  forgetResult(item);
  markAll([$("people"), $("chips")], item.keep);
  show();
}

function forgetResult(item) {
  if (item.result) api.removeJob(item.result.id).catch(() => {});
  item.result = null;
  item.mode = "people";
}

async function add(files) {
  state.problem = "";
  const problems = [];
  for (const file of files) {
    try {
      const item = new Item(await send(file));
      state.items.push(item);
      state.current = item;
      show();
      if (item.photo) detect(item);
    } catch (error) {
      problems.push(error.message);
    }
  }
  state.uploading = null;
  state.problem = problems.join("\n");
  if (problems.length && state.items.length === 0) $("drop-limits").textContent = state.problem;
  show();
}

async function send(file) {
  const limit = state.about?.limits.upload_bytes ?? Infinity;
  if (file.size > limit) throw new api.Refused(`${file.name}: larger than ${Math.round(limit / 1e6)} MB.`);
  state.uploading = { name: file.name, share: 0 };
  show();
  try {
    return await api.upload(file, (share) => { state.uploading = { name: file.name, share }; drawActions(state.current); });
  } finally {
    state.uploading = null;
  }
}

async function work(item, wanted) {
  item.problem = "";
  try {
    const job = await api.submit({ media: item.media.id, anonymizer: $("anonymizer").value, ...wanted });
    const told = (current) => {
      item.running = current;
      if (item === state.current) drawActions(item);
    };
    told(job);
    show();
    const finished = await api.follow(job, told);
    return finished.state === "done" ? finished : null;
  } catch (error) {
    item.problem = error.message;
    return null;
  } finally {
    item.running = null;
  }
}

async function detect(item) {
  const anonymizer = $("anonymizer").value;
  const found = await work(item, { task: "detect" });
  if (found && anonymizer !== $("anonymizer").value) return item.photo ? detect(item) : show();
  if (found) {
    item.found = found;
    item.frame = 0;
    item.keep.clear();
  }
  show();
}

const wishes = (item) => ({
  anonymizer: $("anonymizer").value,
  detections: item.found?.id ?? null,
  keep: [...item.keep],
  references: state.references.map((media) => media.id),
  only: $("only").checked && state.references.length > 0,
  keep_audio: $("keep-audio").checked,
  keep_metadata: $("keep-metadata").checked,
});

async function anonymize(item) {
  const wished = wishes(item);
  const result = await work(item, { task: "anonymize", ...wished });
  if (result && JSON.stringify(wished) !== JSON.stringify(wishes(item))) {
    api.removeJob(result.id).catch(() => {}); // somebody has changed his mind meanwhile
  } else if (result) {
    item.result = result;
    item.mode = "compare";
  }
  show();
  if (result && item === state.current && matchMedia("(max-width: 860px)").matches) $("view").scrollIntoView({ block: "start" });
}

async function remove(item) {
  state.items = state.items.filter((other) => other !== item);
  state.current = state.items.at(-1) ?? null;
  show();
  await api.removeMedia(item.media.id).catch(() => {});
}

// Another anonymizer finds other people: what was found and made by the one before is void.
function anonymizerChanged() {
  const chosen = state.anonymizers.find((other) => other.name === $("anonymizer").value);
  $("anonymizer-about").textContent = chosen?.about ?? "";
  $("live-anonymizer").value = $("anonymizer").value;
  for (const item of state.items) {
    forgetResult(item);
    item.found = null;
    item.keep.clear();
    item.frame = 0;
    item.problem = "";
    if (item.photo && !item.running) detect(item);
  }
  show();
}

function settingsChanged() {
  for (const item of state.items) forgetResult(item);
  show();
}

async function addReferences(files) {
  for (const file of files) {
    try {
      const media = await send(file);
      if (media.kind !== "image") {
        await api.removeMedia(media.id);
        throw new api.Refused(`${file.name}: a photo is needed.`);
      }
      state.references.push(media);
    } catch (error) {
      state.problem = error.message;
    }
  }
  drawReferences();
  settingsChanged();
}

function drawReferences() {
  sessionStorage.setItem(KNOWN, JSON.stringify(state.references.map((media) => media.id)));
  $("references").replaceChildren(...state.references.map((media) => {
    const tile = document.createElement("button");
    const picture = document.createElement("img");
    picture.src = `/api/media/${media.id}/preview`;
    picture.alt = media.name;
    tile.append(picture);
    tile.title = `Forget ${media.name}`;
    tile.onclick = async () => {
      state.references = state.references.filter((other) => other !== media);
      await api.removeMedia(media.id).catch(() => {});
      drawReferences();
      settingsChanged();
    };
    return tile;
  }));
}

// ---- wiring --------------------------------------------------------------------------------------------------------

function wireFiles() {
  $("upload").onchange = (event) => { add([...event.target.files]); event.target.value = ""; };
  $("reference").onchange = (event) => { addReferences([...event.target.files]); event.target.value = ""; };
  $("anonymizer").onchange = anonymizerChanged;
  for (const id of ["only", "keep-audio", "keep-metadata"]) $(id).onchange = settingsChanged;
  $("detect").onclick = () => detect(state.current);
  $("run").onclick = () => { for (const item of state.items) if (!item.result && !item.running) anonymize(item); };
  $("cancel").onclick = () => state.current?.running && api.cancel(state.current.running.id).catch(() => {});
  $("remove").onclick = () => remove(state.current);
  $("change-all").onclick = () => { state.current.keep.clear(); changed(state.current); };
  $("keep-all").onclick = () => { state.current.ids.forEach((id) => state.current.keep.add(id)); changed(state.current); };
  $("show-people").onclick = () => { state.current.mode = "people"; show(); };
  $("show-compare").onclick = () => { state.current.mode = "compare"; show(); };
  $("frame-back").onclick = () => turn(-1);
  $("frame-next").onclick = () => turn(1);
}

function turn(step) {
  const item = state.current;
  item.frame = (item.frame + step + item.people.length) % item.people.length;
  show();
}

function wireDropping() {
  let depth = 0;
  const dragging = (on) => document.body.classList.toggle("dragging", on);
  addEventListener("dragenter", (event) => { event.preventDefault(); depth += 1; dragging(true); });
  addEventListener("dragleave", () => { depth -= 1; if (depth <= 0) { depth = 0; dragging(false); } });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    dragging(false);
    const files = [...(event.dataTransfer?.files ?? [])];
    if (event.target.closest?.("#known")) addReferences(files);
    else if (!$("files").hidden) add(files);
  });
  addEventListener("paste", (event) => { const files = [...(event.clipboardData?.files ?? [])]; if (files.length) add(files); });
}

function wireTabs(camera) {
  for (const name of ["files", "camera"])
    $(`tab-${name}`).onclick = () => {
      for (const other of ["files", "camera"]) {
        $(other).hidden = other !== name;
        $(`tab-${other}`).setAttribute("aria-selected", other === name);
      }
      if (name !== "camera" && camera.running) camera.stop();
    };
}

function wireCamera() {
  const problem = (text) => { $("live-problem").hidden = !text; $("live-problem").textContent = text; };
  const camera = new Camera({
    canvas: $("live-picture"),
    onWords: (text) => { $("live-words").textContent = text; },
    onProblem: problem,
    onState: (on) => {
      $("live-start").textContent = on ? "Stop camera" : "Start camera";
      $("live-idle").hidden = on || camera.times?.length > 0;
      $("live-save").disabled = !on && !camera.times?.length;
      $("live-anonymizer").disabled = on;
    },
  });
  $("live-start").onclick = async () => {
    problem("");
    if (camera.running) return camera.stop();
    try {
      await camera.start($("live-anonymizer").value, state.references.map((media) => media.id));
    } catch (error) {
      camera.stop();
      problem(error.name === "NotAllowedError" ? "The browser was not allowed to use the camera." : error.message);
    }
  };
  $("live-save").onclick = () => $("live-picture").toBlob((blob) => {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: "camera_anonymized.png" });
    link.click();
    URL.revokeObjectURL(link.href);
  });
  return camera;
}

function offerAnonymizers() {
  for (const select of [$("anonymizer"), $("live-anonymizer")]) {
    const groups = [["", true], ["Weights are not on this machine", false]].map(([label, ready]) => {
      const options = state.anonymizers.filter((one) => one.ready === ready).map((one) => {
        const option = new Option(one.name, one.name, one.name === state.about.default, one.name === state.about.default);
        option.disabled = !ready;
        return option;
      });
      if (ready || options.length === 0) return options;
      const group = document.createElement("optgroup");
      group.label = label;
      group.append(...options);
      return [group];
    });
    select.replaceChildren(...groups.flat());
  }
  const chosen = state.anonymizers.find((one) => one.name === $("anonymizer").value);
  $("anonymizer-about").textContent = chosen?.about ?? "";
}

// After a reload the session's files and results are still there.
async function restore() {
  const known = new Set(JSON.parse(sessionStorage.getItem(KNOWN) ?? "[]"));
  const [media, jobs] = await Promise.all([api.media(), api.jobs()]);
  state.references = media.filter((one) => known.has(one.id));
  state.items = media.filter((one) => !known.has(one.id)).map((one) => new Item(one));
  for (const item of state.items) {
    const done = jobs.filter((job) => job.media === item.media.id && job.state === "done");
    item.found = done.findLast((job) => job.task === "detect") ?? null;
    item.result = done.findLast((job) => job.task === "anonymize") ?? null;
    item.mode = item.result ? "compare" : "people";
  }
  state.current = state.items.at(-1) ?? null;
  drawReferences();
}

async function begin() {
  wireFiles();
  wireDropping();
  wireTabs(wireCamera());
  show();
  try {
    [state.about, state.anonymizers] = await Promise.all([api.about(), api.anonymizers()]);
    const limits = state.about.limits;
    $("drop-limits").textContent = `up to ${Math.round(limits.upload_bytes / 1e6)} MB, videos up to ${clock(limits.video_seconds)} min, deleted after ${Math.round(limits.keep_seconds / 60)} min without use`;
    offerAnonymizers();
    if (!state.about.references) {
      $("known-hint").textContent = state.about.references_remedy;
      $("reference-add").hidden = true;
      $("only").closest("label").hidden = true;
    }
    await restore();
  } catch (error) {
    state.problem = error.message;
  }
  document.body.dataset.ready = "yes";
  show();
}

begin();
