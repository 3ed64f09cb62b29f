// The anonymizers as tiles: what each does to one and the same photo.

import { $, state } from "/page/state.js";

export function drawWays() {
  const rare = state.anonymizers.filter((one) => one.rare || !one.ready);
  $("ways-ready").replaceChildren(...groups(state.anonymizers.filter((one) => !rare.includes(one))));
  $("ways-rare").replaceChildren(...groups(rare));
  $("ways-more").hidden = rare.length === 0;
  $("ways-more-title").textContent = `${rare.length} more ways`;
  if (rare.some((one) => one.name === state.anonymizer)) $("ways-more").open = true;
}

function groups(ways) {
  const names = [...new Set(ways.map((one) => one.group))];
  return names.flatMap((name) => {
    const title = document.createElement("h3");
    title.textContent = name;
    const tiles = document.createElement("div");
    tiles.className = "tiles";
    tiles.append(...ways.filter((one) => one.group === name).map(tile));
    return [title, tiles];
  });
}

function tile(way) {
  const label = document.createElement("label");
  label.className = way.ready ? "tile" : "tile absent";
  label.title = way.ready ? way.about : `${way.about} Its weights are not on this machine.`;
  const choice = Object.assign(document.createElement("input"), { type: "radio", name: "way", value: way.name });
  choice.checked = way.name === state.anonymizer;
  choice.disabled = !way.ready;
  const picture = document.createElement(way.picture ? "img" : "span");
  if (way.picture) Object.assign(picture, { src: `/page/${way.picture}`, alt: "", width: 240, height: 180 });
  else picture.className = "none";
  const name = document.createElement("span");
  name.className = "way";
  name.textContent = way.name.split("/").slice(1).join(" ").trim() || way.name;
  label.append(choice, picture, name);
  return label;
}
