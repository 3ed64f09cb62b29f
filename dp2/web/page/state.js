// What the page knows. The server holds the truth.

export const $ = (id) => document.getElementById(id);

export const state = { items: [], current: null, references: [], anonymizers: [], anonymizer: "", about: null, uploading: null, problem: "" };

export class Item {
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

export const duration = (seconds) => (seconds == null ? "" : clock(seconds));

// How long something took: short times with a fraction.
export const took = (seconds) => (seconds < 9.95 ? `${seconds.toFixed(1)}\u00a0s` : seconds < 60 ? `${Math.round(seconds)}\u00a0s` : `${clock(seconds)}\u00a0min`);

export function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
