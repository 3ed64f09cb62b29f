// The camera: one picture on its way at a time, so that what is shown is never old.

const SIDE = 640;

export class Camera {
  constructor({ canvas, onWords, onProblem, onState }) {
    Object.assign(this, { canvas, onWords, onProblem, onState });
  }

  get running() {
    return Boolean(this.socket);
  }

  async start(anonymizer, references) {
    if (!navigator.mediaDevices) throw new Error("This browser gives cameras only to localhost or HTTPS pages.");
    this.stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: SIDE }, height: { ideal: 480 } }, audio: false });
    this.video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, srcObject: this.stream });
    await this.video.play();
    this.sent = document.createElement("canvas");
    const scale = Math.min(1, SIDE / Math.max(this.video.videoWidth, this.video.videoHeight));
    this.sent.width = Math.round(this.video.videoWidth * scale);
    this.sent.height = Math.round(this.video.videoHeight * scale);
    const query = new URLSearchParams({ anonymizer, references: references.join(",") });
    this.socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/live?${query}`);
    this.socket.binaryType = "blob";
    this.socket.onmessage = (message) => this.heard(message.data);
    this.socket.onclose = () => this.stop();
    this.times = [];
    this.onState(true);
    this.onWords("Waiting for the anonymizer…");
  }

  async heard(data) {
    if (typeof data !== "string") return this.show(data);
    const words = JSON.parse(data);
    if (words.state === "queued" && words.place > 1) this.onWords(`${words.place - 1} jobs are before you.`);
    if (words.state === "running" && !words.people) this.send();
    if (words.people) this.people = Object.values(words.people).reduce((sum, count) => sum + count, 0);
    if (words.error) this.onProblem(words.error);
    if (words.state === "ended" && !words.error) this.onWords("The time for one camera session is over.");
  }

  send() {
    if (!this.socket || this.socket.readyState !== WebSocket.OPEN) return;
    this.sent.getContext("2d").drawImage(this.video, 0, 0, this.sent.width, this.sent.height);
    this.sent.toBlob((blob) => blob && this.socket?.readyState === WebSocket.OPEN && this.socket.send(blob), "image/jpeg", 0.85);
  }

  async show(blob) {
    this.send();
    const picture = await createImageBitmap(blob);
    this.canvas.width = picture.width;
    this.canvas.height = picture.height;
    this.canvas.getContext("2d").drawImage(picture, 0, 0);
    const now = performance.now();
    this.times = [...this.times.filter((time) => now - time < 1000), now];
    if (this.socket) this.onWords(`${this.times.length} pictures/s · ${this.people ?? 0} changed`);
  }

  stop() {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.onState(false);
  }
}
