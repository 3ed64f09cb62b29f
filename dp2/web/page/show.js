// Draws what the page knows; changes nothing.

import { comparePhotos, compareVideos, stopCompare } from "/page/compare.js";
import { drawChips, drawFrame, markAll } from "/page/people.js";
import { $, clock, duration, state, took } from "/page/state.js";

export const clicks = { select() {}, toggle() {} }; // what a click on a tile or a face does: set by work.js

export function show() {
  const item = state.current;
  $("drop").hidden = state.items.length > 0;
  $("view").hidden = !item;
  $("strip").hidden = state.items.length === 0;
  drawStrip();
  drawView(item);
  drawWho(item);
  if (item) markAll([$("people"), $("chips")], item.keep, item.result !== null);
  drawActions(item);
}

function drawStrip() {
  const focused = [...$("strip").children].indexOf(document.activeElement);
  const tiles = state.items.map((item) => {
    const tile = document.createElement("button");
    const picture = document.createElement("img");
    picture.src = `/api/media/${item.media.id}/preview`;
    picture.alt = item.media.name;
    tile.append(picture);
    tile.title = item.media.name;
    tile.setAttribute("aria-current", item === state.current);
    tile.onclick = () => clicks.select(item);
    const length = item.photo ? "" : duration(item.media.seconds);
    const words = item.running ? "…" : item.problem ? "!" : [item.result ? "done" : "", length].filter(Boolean).join(" · ");
    if (words) {
      const badge = document.createElement("span");
      badge.className = item.result ? "badge done" : "badge";
      badge.textContent = words;
      tile.append(badge);
    }
    return tile;
  });
  const more = document.createElement("button");
  more.className = "more";
  more.textContent = "+";
  more.title = "Add files";
  more.setAttribute("aria-label", more.title);
  more.onclick = () => $("upload").click();
  $("strip").replaceChildren(...tiles, more);
  $("strip").children[focused]?.focus(); // whoever works by keyboard stays where he was
}

let drawn = ""; // what the view shows, so that it is not drawn again under somebody's finger

function drawView(item) {
  if (!item) { stopCompare($("compare")); $("people").replaceChildren(); drawn = ""; return; }
  const compare = item.mode === "compare" && item.result !== null;
  $("view-name").textContent = [item.media.name, `${item.media.width}×${item.media.height}`, duration(item.media.seconds)].filter(Boolean).join(" · ");
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
    drawFrame($("people"), url, item.media.name, frame, item.keep, (id) => clicks.toggle(item, id));
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
    : ids.length ? "Click a face to keep it as it is. Everybody else will change."
    : "Nobody was found.";
  if (chipsOf === item.found) return;
  chipsOf = item.found;
  const mine = item.found;
  drawChips($("chips"), item.people, (number) => `/api/jobs/${mine.id}/frames/${number}`, item.keep, (id) => clicks.toggle(item, id), () => chipsOf !== mine);
}

export function drawActions(item) {
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
  $("outcome").textContent = done ? [`${item.result.said} · took ${took(item.result.seconds)}`, ...item.result.notes].join("\n") : "";
  $("download").hidden = !done;
  if (done) {
    $("download").href = `/api/jobs/${item.result.id}/result`;
    $("download").download = item.result.filename;
    $("download").textContent = `Download ${item.result.filename}`;
  }
  const made = state.items.filter((other) => other.result && !other.running);
  $("download-all").hidden = made.length < 2;
  $("download-all").textContent = `Download all ${made.length} as ZIP`;
  $("download-all").href = `/api/results?${new URLSearchParams(made.map((other) => ["job", other.result.id]))}`;
  $("run").hidden = Boolean(done) && open.length === 0;
  $("run").disabled = open.length === 0;
  $("run").textContent = open.length > 1 ? `Anonymize ${open.length} files` : "Anonymize";
}

function progress(text, share) {
  $("progress-words").textContent = text;
  $("bar").classList.toggle("unknown", share === null);
  if (share === null) $("bar").removeAttribute("aria-valuenow");
  else $("bar").setAttribute("aria-valuenow", Math.round(share * 100));
  $("fill").style.width = share === null ? "" : `${Math.round(share * 100)}%`;
}

function words(job) {
  if (job.state === "queued") return job.place > 1 ? `${job.place - 1} before you in the queue` : "Next in the queue";
  const what = job.task === "detect" ? "Looking for people" : "Anonymizing";
  if (!job.total || job.total < 2 || !job.done) return job.seconds >= 1 ? `${what}… ${took(job.seconds)}` : `${what}…`;
  const rate = job.done / job.seconds;
  return `${what}: ${job.done} of ${job.total} · ${rate.toFixed(0)} frames/s · ${clock((job.total - job.done) / rate)} left`;
}
