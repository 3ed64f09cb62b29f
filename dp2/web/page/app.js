// The page: files on the left, what to do with them on the right. This file ties buttons to deeds.

import * as api from "/page/api.js";
import { Camera } from "/page/camera.js";
import { addReferences, drawReferences, remembered } from "/page/known.js";
import { show } from "/page/show.js";
import { $, Item, clock, state } from "/page/state.js";
import { drawWays } from "/page/ways.js";
import { add, anonymize, anonymizerChanged, changed, describeAnonymizer, detect, remove, settingsChanged } from "/page/work.js";

function wireFiles() {
  $("upload").onchange = (event) => { add([...event.target.files]); event.target.value = ""; };
  $("reference").onchange = (event) => { addReferences([...event.target.files]); event.target.value = ""; };
  $("ways").onchange = (event) => anonymizerChanged(event.target.value);
  $("to-camera").onclick = () => $("tab-camera").click();
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

const TABS = ["files", "camera"];

function wireTabs(camera) {
  TABS.forEach((name, place) => {
    const tab = $(`tab-${name}`);
    tab.onclick = () => {
      for (const other of TABS) {
        $(other).hidden = other !== name;
        $(`tab-${other}`).setAttribute("aria-selected", other === name);
        $(`tab-${other}`).tabIndex = other === name ? 0 : -1;
      }
      if (name !== "camera" && camera.running) camera.stop();
      if (name === "camera") sayWhoIsKnown();
    };
    tab.onkeydown = (event) => {
      if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
      const next = $(`tab-${TABS[(place + 1) % TABS.length]}`); // of two, either way leads to the other
      next.focus();
      next.click();
    };
  });
}

function sayWhoIsKnown() {
  const count = state.references.length;
  $("live-known").hidden = count === 0;
  $("live-known").textContent = `Known faces stay before the camera too: ${count} ${count === 1 ? "photo" : "photos"} under Files.`;
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
  const ready = state.anonymizers.filter((one) => one.ready);
  $("live-anonymizer").replaceChildren(...ready.map((one) => new Option(one.name, one.name)));
  choose(state.about.default);
}

function choose(name) {
  state.anonymizer = $("live-anonymizer").value = name;
  drawWays();
}

// After a reload the session's files and results are still there.
async function restore() {
  const known = remembered();
  const [media, jobs] = await Promise.all([api.media(), api.jobs()]);
  state.references = media.filter((one) => known.has(one.id));
  state.items = media.filter((one) => !known.has(one.id)).map((one) => new Item(one));
  const last = jobs.at(-1)?.anonymizer;
  if (last) choose(last);
  for (const item of state.items) {
    const done = jobs.filter((job) => job.media === item.media.id && job.state === "done" && job.anonymizer === last);
    item.found = done.findLast((job) => job.task === "detect") ?? null;
    item.result = done.findLast((job) => job.task === "anonymize") ?? null;
    item.mode = item.result ? "compare" : "people";
    item.keep = new Set(item.result?.keep ?? []);
  }
  state.current = state.items.at(-1) ?? null;
  drawReferences();
}

// On a phone the button stays at the lower edge; as much as it covers can be scrolled free.
function keepFree() {
  const room = new ResizeObserver((entries) => {
    for (const { target } of entries)
      if (target.offsetHeight) document.documentElement.style.setProperty("--act", `${target.offsetHeight}px`);
  });
  for (const card of document.querySelectorAll(".act")) room.observe(card);
}

async function begin() {
  keepFree();
  if (!/^(localhost|127\..*|\[::1\])$/.test(location.hostname)) $("promise").textContent = `Goes to ${location.hostname} only`;
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
    describeAnonymizer();
  } catch (error) {
    state.problem = error.message;
  }
  document.body.dataset.ready = "yes";
  show();
}

begin();
