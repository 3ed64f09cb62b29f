// Before and after in one frame, with an edge to drag.

function element(tag, classes, parent) {
  const made = document.createElement(tag);
  made.className = classes;
  parent.append(made);
  return made;
}

function draggable(root) {
  const range = element("input", "", root);
  range.type = "range";
  range.value = 50;
  range.setAttribute("aria-label", "Share of the picture that shows the original");
  const put = (share) => {
    range.value = share;
    root.style.setProperty("--cut", `${share}%`);
  };
  const follow = (event) => {
    const box = root.getBoundingClientRect();
    put(Math.min(100, Math.max(0, ((event.clientX - box.left) / box.width) * 100)));
  };
  root.onpointerdown = (event) => {
    if (event.target.closest("button")) return;
    root.setPointerCapture(event.pointerId);
    follow(event);
  };
  root.onpointermove = (event) => root.hasPointerCapture(event.pointerId) && follow(event);
  range.oninput = () => put(Number(range.value));
  put(50);
}

function labels(root) {
  element("span", "tag left", root).textContent = "before";
  element("span", "tag right", root).textContent = "after";
  element("div", "edge", root);
}

export function comparePhotos(root, before, after) {
  root.replaceChildren();
  element("img", "after", root).src = after;
  root.lastChild.alt = "Anonymized";
  element("img", "before", root).src = before;
  root.lastChild.alt = "Original";
  labels(root);
  draggable(root);
}

export function compareVideos(root, before, after) {
  root.replaceChildren();
  const [new_, old] = ["after", "before"].map((name) => {
    const video = element("video", name, root);
    Object.assign(video, { muted: true, loop: true, playsInline: true, preload: "auto" });
    return video;
  });
  new_.src = after;
  old.src = before;
  labels(root);
  draggable(root);
  const play = element("button", "play", root);
  const shown = () => {
    play.classList.toggle("on", !new_.paused);
    play.setAttribute("aria-label", new_.paused ? "Play" : "Pause");
  };
  play.onclick = () => (new_.paused ? new_.play() : new_.pause());
  new_.onplay = () => { old.play().catch(() => {}); shown(); };
  new_.onpause = () => { old.pause(); shown(); };
  new_.ontimeupdate = () => { if (Math.abs(old.currentTime - new_.currentTime) > 0.12) old.currentTime = new_.currentTime; };
  new_.onseeked = () => { old.currentTime = new_.currentTime; };
  old.onerror = () => {
    old.remove();
    root.style.setProperty("--cut", "0%");
    element("p", "note", root).textContent = "This browser cannot play the original; the anonymized video is shown.";
  };
  shown();
}

export function stopCompare(root) {
  for (const video of root.querySelectorAll("video")) video.pause();
  root.replaceChildren();
}
