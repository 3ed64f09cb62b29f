// The server's API. Everything here is of this page's own origin.

export class Refused extends Error {}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new Refused("The server does not answer. Is dp2 serve still running?");
  }
  if (answer.status === 204) return null;
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(body.error || `The server refused (${answer.status}).`);
  return body;
}

export const about = () => ask("/api/about");
export const anonymizers = () => ask("/api/anonymizers");
export const media = () => ask("/api/media");
export const jobs = () => ask("/api/jobs");
export const job = (id) => ask(`/api/jobs/${id}`);
export const cancel = (id) => ask(`/api/jobs/${id}/cancel`, { method: "POST" });
export const removeJob = (id) => ask(`/api/jobs/${id}`, { method: "DELETE" });
export const removeMedia = (id) => ask(`/api/media/${id}`, { method: "DELETE" });
export const submit = (wanted) =>
  ask("/api/jobs", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wanted) });

// fetch() cannot say how far an upload is; XMLHttpRequest can.
export function upload(file, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/media?name=${encodeURIComponent(file.name)}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onerror = () => reject(new Refused(`${file.name}: the upload was broken off; the server may have refused it.`));
    request.onload = () => {
      let body = {};
      try { body = JSON.parse(request.responseText); } catch { /* an error page of a proxy: the status says enough */ }
      if (request.status === 201) resolve(body);
      else reject(new Refused(`${file.name}: ${body.error || `refused (${request.status})`}`));
    };
    request.send(file);
  });
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// Calls `onProgress` until the job is over; gives the finished job or throws what went wrong.
export async function follow(started, onProgress) {
  let current = started;
  while (current.state === "queued" || current.state === "running") {
    onProgress(current);
    await pause(300);
    current = await job(current.id);
  }
  if (current.state === "failed") throw new Refused(current.error);
  return current;
}
