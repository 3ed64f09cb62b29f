// Photos of people who stay wherever they appear.

import * as api from "/page/api.js";
import { $, state } from "/page/state.js";
import { send, settingsChanged } from "/page/work.js";

const KNOWN = "dp2-references"; // which uploads they are: survives a reload of this tab

export const remembered = () => new Set(JSON.parse(sessionStorage.getItem(KNOWN) ?? "[]"));

export async function addReferences(files) {
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

export function drawReferences() {
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
