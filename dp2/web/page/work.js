// What can be done with files: upload, detect, choose, anonymize, delete.

import * as api from "/page/api.js";
import { clicks, drawActions, show } from "/page/show.js";
import { $, Item, state } from "/page/state.js";

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
export function changed(item) {
  forgetResult(item);
  show();
}

function forgetResult(item) {
  if (item.result) api.removeJob(item.result.id).catch(() => {});
  item.result = null;
  item.mode = "people";
}

export async function add(files) {
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
  show();
}

export async function send(file) {
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
    const job = await api.submit({ media: item.media.id, anonymizer: state.anonymizer, ...wanted });
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

export async function detect(item) {
  const anonymizer = state.anonymizer;
  const found = await work(item, { task: "detect" });
  if (found && anonymizer !== state.anonymizer) return item.photo ? detect(item) : show();
  if (found) {
    item.found = found;
    item.frame = 0;
    item.keep.clear();
  }
  show();
}

const wishes = (item) => ({
  anonymizer: state.anonymizer,
  detections: item.found?.id ?? null,
  keep: [...item.keep],
  references: state.references.map((media) => media.id),
  only: $("only").checked && state.references.length > 0,
  keep_audio: $("keep-audio").checked,
  keep_metadata: $("keep-metadata").checked,
});

export async function anonymize(item) {
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

export async function remove(item) {
  state.items = state.items.filter((other) => other !== item);
  state.current = state.items.at(-1) ?? null;
  show();
  await api.removeMedia(item.media.id).catch(() => {});
}

export function describeAnonymizer() {
  const chosen = state.anonymizers.find((other) => other.name === state.anonymizer);
  $("anonymizer-about").textContent = chosen?.about ?? "";
}

// Another anonymizer finds other people: what was found and made by the one before is void.
export function anonymizerChanged(name) {
  state.anonymizer = name;
  describeAnonymizer();
  $("live-anonymizer").value = name;
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

export function settingsChanged() {
  for (const item of state.items) forgetResult(item);
  show();
}

Object.assign(clicks, { select, toggle });
