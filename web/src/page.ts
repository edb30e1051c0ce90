/** The page of the export: what buttons, sliders, keys and dropped files do to its `<live-face>`. */

import { EMOTIONS, type Emotion, type LiveFace, type Stats } from "./liveface.js";

type SourceName = "file" | "microphone" | "camera";
const ICONS: Record<SourceName | "stop", string> = {
  microphone: '<rect x="9" y="3" width="6" height="11" rx="3"/><path d="M5.500 11.500a6.500 6.500 0 0 0 13 0M12 18v3"/>',
  file: '<path class="fill" d="M8 5.500v13l11-6.500z"/>',
  camera: '<rect x="3" y="6.500" width="12.500" height="11" rx="2.500"/><path d="M15.500 11l5-3v8l-5-3z"/>',
  stop: '<rect class="fill" x="6.500" y="6.500" width="11" height="11" rx="2"/>',
};
const NAMES: Record<SourceName, string> = { microphone: "Talk", file: "Play", camera: "Mirror" };
const TELL_MS = 500;
const TOAST_MS = 5000;

function find<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}
function all<T extends HTMLElement>(selector: string): T[] {
  return [...document.querySelectorAll<T>(selector)];
}

const face = find<LiveFace>("face");
const wish = { emotion: "neutral" as Emotion, intensity: 0.7 };
let source: SourceName = "file";
let active = false;
let turn = 0;
let sound: Promise<Blob> | Blob = fetch("speech.flac").then((answer) => answer.blob()); // asked for with the page
let frames = 0;
let before = { at: performance.now(), frames: 0 };
let lookDue: ReturnType<typeof setTimeout> | null = null;

// What the face tells

face.addEventListener("progress", (event) => {
  find("loading").style.width = `${Math.round(100 * event.detail.share)}%`;
});
face.addEventListener("load", () => {
  state("live", "Ready");
  find("veil").classList.add("gone");
});
face.addEventListener("error", (event) => {
  if (!event.detail.fatal) return toast(event.detail.sentence);
  state("off", "Not here");
  find("veil").classList.remove("gone");
  find("veil").querySelector("p")?.replaceChildren(event.detail.sentence);
  find("veil").querySelectorAll(".spinner, .bar-line").forEach((one) => one.remove());
});
face.addEventListener("camera", () => toast("The camera knows you now: move, and the face moves with you."));
face.addEventListener("frame", (event) => {
  frames++;
  find("frame").classList.toggle("speaking", event.detail.source === "sound");
  const names = { idle: active ? "listening" : "idle", sound: "speaking", camera: "mirroring" };
  if (find("who").textContent !== names[event.detail.source]) find("who").textContent = names[event.detail.source];
});

function state(name: string, text: string): void {
  find("state").className = `state ${name}`;
  find("state").querySelector("b")?.replaceChildren(text);
}

function toast(text: string): void {
  const item = document.createElement("div");
  item.className = "toast";
  item.textContent = text;
  find("toasts").append(item);
  setTimeout(() => item.remove(), TOAST_MS);
  while (find("toasts").children.length > 3) find("toasts").firstElementChild?.remove();
}

// Talking

function setSource(name: SourceName): void {
  if (active) stop();
  source = name;
  for (const button of all("#sources button")) button.setAttribute("aria-checked", String(button.dataset["source"] === name));
  for (const part of all(".source")) part.hidden = part.dataset["for"] !== name;
  setActive(false);
}

function setActive(on: boolean): void {
  active = on;
  find("talk").classList.toggle("on", on);
  find("talk-text").textContent = on ? "Stop" : NAMES[source];
  find("talk-icon").innerHTML = on ? ICONS.stop : ICONS[source];
  find("preview").hidden = !(on && source === "camera");
  if (!on) find("level").style.transform = "scaleX(0)";
}

async function start(): Promise<void> {
  const mine = ++turn;
  setActive(true);
  try {
    if (source === "microphone") {
      const heard = face.listen(find<HTMLSelectElement>("microphones").value);
      void listDevices();
      await heard;
    } else if (source === "camera") {
      const preview = find<HTMLVideoElement>("preview");
      preview.srcObject = await face.mirror(find<HTMLSelectElement>("cameras").value);
      await preview.play();
      void listDevices();
      return;
    } else {
      await face.speak(await sound);
    }
  } catch {
    // the face has told it by an event
  }
  if (mine === turn) setActive(false);
}

function stop(): void {
  turn++;
  face.stop();
  find<HTMLVideoElement>("preview").srcObject = null;
  setActive(false);
}

function toggle(): void {
  if (active) stop();
  else void start();
}

function take(file: File | undefined): void {
  if (file === undefined) return;
  sound = file;
  find("file-name").textContent = file.name;
  setSource("file");
  void start();
}

async function listDevices(): Promise<void> {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  for (const [kind, id, name] of [["audioinput", "microphones", "Microphone"], ["videoinput", "cameras", "Camera"]] as const) {
    const select = find<HTMLSelectElement>(id);
    const kept = select.value;
    const options = devices.filter((one) => one.kind === kind && one.deviceId && one.deviceId !== "default");
    select.replaceChildren(select.options[0] as HTMLOptionElement);
    options.forEach((one, index) => select.append(new Option(one.label || `${name} ${index + 1}`, one.deviceId)));
    select.value = [...select.options].some((one) => one.value === kept) ? kept : "";
  }
}

// Expression and movement

function setEmotion(name: Emotion): void {
  wish.emotion = name;
  for (const button of all("#emotions button")) button.setAttribute("aria-checked", String(button.textContent === name));
  face.setEmotion(name, wish.intensity);
}

function setIntensity(value: number): void {
  wish.intensity = Math.max(0, Math.min(1, value));
  const slider = find<HTMLInputElement>("intensity");
  slider.value = String(wish.intensity);
  fill(slider);
  face.setEmotion(wish.emotion, wish.intensity);
}

/** A slider's filled part, and its number. */
function fill(slider: HTMLInputElement): void {
  const [low, high, value] = [slider.min, slider.max, slider.value].map(Number) as [number, number, number];
  slider.style.setProperty("--at", `${(100 * (value - low)) / (high - low)}%`);
  (slider.nextElementSibling as HTMLOutputElement).textContent = `${Math.round(100 * value)}%`;
}

function follow(event: PointerEvent): void {
  if (!find<HTMLInputElement>("follow").checked || lookDue !== null) return;
  lookDue = setTimeout(() => (lookDue = null), 40);
  const box = find("frame").getBoundingClientRect();
  const within = (value: number): number => Math.max(-1, Math.min(1, value));
  const x = within((event.clientX - box.left - box.width / 2) / (box.width * 0.9));
  const y = within((event.clientY - box.top - box.height * 0.42) / (box.height * 0.6));
  face.set({ look: [x, y] });
}

// Meter

const ROWS: readonly (readonly [string, string])[] = [
  ["frame", "A frame, all of it"], ["motion", "Speech to motion"], ["controls", "Motion to controls"], ["base", "Head and background"],
  ["decoders", "Mouth, eyes, hair, body"], ["paste", "Put together"], ["compositor", "Blended"], ["show", "To the screen"], ["camera", "Camera looked at"],
];

function showMeter(): void {
  const at = performance.now();
  const fps = (1000 * (frames - before.frames)) / (at - before.at);
  before = { at, frames };
  const stats: Stats | null = face.stats;
  const whole = stats?.stages["frame"];
  find("m-ms").textContent = whole === undefined ? "–" : `${whole.p50.toFixed(1)} ms`;
  find("m-fps").textContent = String(Math.round(fps));
  find("m-dropped").textContent = String(stats?.dropped ?? 0);
  if (stats === null || !find<HTMLDetailsElement>("details").open) return;
  const told = ROWS.filter(([name]) => stats.stages[name] !== undefined).map(([name, text]): [string, string] => {
    const { p50, p95 } = stats.stages[name] as { p50: number; p95: number };
    return [text, `${p50.toFixed(1)} / ${p95.toFixed(1)} ms`];
  });
  if (stats.behind !== undefined) told.push(["Picture after its sound", `${stats.behind.p50.toFixed(0)} / ${stats.behind.p95.toFixed(0)} ms`]);
  told.push(["WebAssembly", stats.variant === "relaxed" ? "relaxed SIMD, one thread" : "SIMD, one thread"]);
  const rows = [["", "middle / 95%"], ...told].flatMap(([name, value]) => {
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name ?? "";
    text.textContent = value ?? "";
    return [term, text];
  });
  find("numbers").replaceChildren(...rows);
}

function showLevel(): void {
  if (active && source === "microphone") find("level").style.transform = `scaleX(${Math.min(1, face.level * 6).toFixed(2)})`;
}

// Wiring

const THEME = "liveface-theme";
/** What this browser remembers; nothing where it may not. */
function memory(): Storage | null {
  try {
    return localStorage;
  } catch {
    return null;
  }
}
const theme = memory()?.getItem(THEME) ?? null;
if (theme !== null) document.documentElement.dataset["theme"] = theme;

find("talk").onclick = toggle;
find("interrupt").onclick = () => face.interrupt();
find("centre").onclick = () => face.centre();
find("drop").onclick = () => find("sound-file").click();
find<HTMLInputElement>("sound-file").onchange = (event) => take((event.target as HTMLInputElement).files?.[0]);
find<HTMLInputElement>("intensity").oninput = (event) => setIntensity(Number((event.target as HTMLInputElement).value));
find("keys").onclick = () => find<HTMLDialogElement>("help").showModal();
find<HTMLInputElement>("follow").onchange = (event) => {
  if (!(event.target as HTMLInputElement).checked) face.set({ look: null });
};
find("theme").onclick = () => {
  const chosen = document.documentElement.dataset["theme"];
  const dark = chosen === undefined ? matchMedia("(prefers-color-scheme: dark)").matches : chosen === "dark";
  document.documentElement.dataset["theme"] = dark ? "light" : "dark";
  memory()?.setItem(THEME, dark ? "light" : "dark");
};
for (const button of all("#sources button")) button.onclick = () => setSource(button.dataset["source"] as SourceName);
for (const name of EMOTIONS) {
  const button = document.createElement("button");
  button.setAttribute("role", "radio");
  button.setAttribute("aria-checked", String(name === "neutral"));
  button.textContent = name;
  button.onclick = () => setEmotion(name);
  find("emotions").append(button);
}
const dials = all<HTMLInputElement>("[data-dial]");
for (const slider of dials) {
  slider.oninput = () => {
    fill(slider);
    face.set({ [slider.dataset["dial"] as string]: Number(slider.value) });
  };
}
find("reset").onclick = () => {
  for (const slider of dials) {
    slider.value = "1";
    slider.dispatchEvent(new Event("input"));
  }
  setEmotion("neutral");
};
all<HTMLInputElement>("input[type=range]").forEach(fill);
addEventListener("pointermove", follow);
addEventListener("dragover", (event) => {
  event.preventDefault();
  find("dropping").hidden = false;
});
addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) find("dropping").hidden = true;
});
addEventListener("drop", (event) => {
  event.preventDefault();
  find("dropping").hidden = true;
  take(event.dataTransfer?.files[0]);
});
addEventListener("keydown", (event) => {
  const target = event.target as HTMLElement;
  if (event.ctrlKey || event.metaKey || event.altKey || find<HTMLDialogElement>("help").open) return;
  const range = target instanceof HTMLInputElement && target.type === "range";
  const onButton = target.matches("button, summary, input[type=checkbox]");
  if (event.key === "Escape") face.interrupt();
  else if (target instanceof HTMLSelectElement) return;
  else if (event.key === " " && !onButton) toggle();
  else if (range) return;
  else if (event.key === "?") find<HTMLDialogElement>("help").showModal();
  else if (event.key === "[") setIntensity(wish.intensity - 0.1);
  else if (event.key === "]") setIntensity(wish.intensity + 0.1);
  else if (/^[1-8]$/.test(event.key)) setEmotion(EMOTIONS[Number(event.key) - 1] as Emotion);
  else return;
  event.preventDefault();
});
setInterval(showMeter, TELL_MS);
setInterval(showLevel, 100);

// A program of its own on the desk or the phone

interface InstallPrompt extends Event {
  prompt(): Promise<void>;
}
addEventListener("beforeinstallprompt", (event) => {
  event.preventDefault();
  find("install").hidden = false;
  find("install").onclick = () => {
    find("install").hidden = true;
    void (event as InstallPrompt).prompt();
  };
});
if ("serviceWorker" in navigator) {
  navigator.serviceWorker.register("service.js").catch(() => toast("This page cannot be kept for use without a network here."));
}
