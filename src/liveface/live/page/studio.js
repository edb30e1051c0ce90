// The studio page: what buttons, sliders, keys and dropped files do.

import { Call } from "./call.js";
import { Camera } from "./camera.js";
import { Link } from "./link.js";
import { Making } from "./making.js";
import { Player } from "./player.js";
import { Sound } from "./sound.js";

const EMOTIONS = ["neutral", "happy", "sad", "angry", "afraid", "disgusted", "surprised", "contemptuous"];
const ICONS = {
  microphone: '<rect x="9" y="3" width="6" height="11" rx="3"/><path d="M5.500 11.500a6.500 6.500 0 0 0 13 0M12 18v3"/>',
  file: '<path class="fill" d="M8 5.500v13l11-6.500z"/>',
  camera: '<rect x="3" y="6.500" width="12.500" height="11" rx="2.500"/><path d="M15.500 11l5-3v8l-5-3z"/>',
  text: '<path d="M4 6.500A2.500 2.500 0 0 1 6.500 4h11A2.500 2.500 0 0 1 20 6.500v7a2.500 2.500 0 0 1-2.500 2.500H11l-4.500 4v-4A2.500 2.500 0 0 1 4 13.500z"/>',
  stop: '<rect class="fill" x="6.500" y="6.500" width="11" height="11" rx="2"/>',
};
const NAMES = { microphone: ["Talk", "Stop"], file: ["Play", "Stop"], camera: ["Mirror", "Stop"], text: ["Say it", "Stop"] };
const find = (id) => document.getElementById(id);

const calling = new URLSearchParams(location.search).get("transport") === "call";
const handlers = { state: showState, picture: (message) => player.take(message), said, opened, playing };
const link = calling ? new Call(handlers, ask, find("view")) : new Link(handlers);
const sound = new Sound((message) => link.send(message));
const player = new Player(find("canvas"), sound);
const camera = new Camera((message) => link.send(message));
const making = new Making({
  ask,
  toast,
  shown: async (id) => {
    await listFaces();
    choose(id);
  },
});
const wish = { emotion: "neutral", intensity: 0.7, scale: 1, head: 1, gaze: 1, blink: 1 };
let source = "microphone";
let active = false;
let busy = false;
let epoch = 0;
let bytes = null;
let faces = [];
let recording = 0;
let stats = {};
let lookDue = null;
let called = null; // numbers of a call

if (calling) {
  find("canvas").hidden = true;
  find("view").hidden = false;
  sound.carry = (track, heard) => link.carry("audio", track, heard);
  camera.carry = (track) => link.carry("video", track);
}

player.onack = (number) => link.send({ type: "ack", number });
player.onkey = () => link.send({ type: "key" });
player.onshown = (one) => {
  if (!find("veil").classList.contains("gone")) find("veil").classList.add("gone");
  showDriver(one.source);
};
sound.onend = () => setActive(false);

// Connection

function showState(name, text) {
  const state = find("state");
  state.className = `state ${name}`;
  state.querySelector("b").textContent = text;
  if (name !== "live") veil(name === "off" ? text : `${text} …`);
}

// Who drives the face: "idle", "sound" or "camera".
function showDriver(name) {
  find("frame").classList.toggle("speaking", name === "sound");
  const names = { idle: active ? "listening" : "idle", sound: "speaking", camera: "mirroring" };
  if (find("who").textContent !== names[name]) find("who").textContent = names[name];
}

// A call's pictures have begun.
function playing() {
  find("veil").classList.add("gone");
  showDriver("idle");
}

function veil(text) {
  find("veil").classList.remove("gone");
  find("veil").querySelector("p").textContent = text;
}

function opened(message) {
  player.reset();
  link.subject = message.subject;
  mark(message.subject);
  sendWishes();
  if (message.resumed) {
    epoch++;
    player.interrupt(epoch);
    link.send({ type: "interrupt", epoch });
  } else {
    epoch = 0;
    player.interrupt(0);
    setRecording(false);
  }
}

function said(message) {
  if (message.type === "stats") stats = message;
  else if (message.type === "error") {
    toast(message.text);
    if (message.final) veil(message.text);
  } else if (message.type === "subject") {
    link.subject = message.id;
    mark(message.id);
    find("veil").classList.add("gone");
  } else if (message.type === "recording") {
    setRecording(message.on);
    if (!message.on && message.name) addRecording(message);
  } else if (message.type === "events") {
    if (message.events.includes("camera-ready")) toast("The camera knows you now: move, and the face moves with you.");
    if (calling && message.events.includes("speech-start")) showDriver("sound");
    if (calling && message.events.includes("speech-end")) showDriver("idle");
  }
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (link.token) headers.Authorization = `Bearer ${link.token}`;
  const answer = await fetch(path, { ...options, headers });
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Error(told.error ?? `The server answered ${answer.status}.`);
  }
  return answer;
}

// Faces

async function listFaces() {
  const list = await (await ask("api/faces")).json();
  faces = list.faces;
  if (!link.subject) link.subject = list.first;
  const box = find("faces");
  box.replaceChildren();
  for (const face of faces) {
    const button = document.createElement("button");
    button.className = "face";
    button.dataset.face = face.id;
    button.setAttribute("role", "radio");
    button.title = `${face.name} (${face.kind})`;
    const picture = document.createElement("span");
    picture.className = "pic";
    const name = document.createElement("b");
    name.textContent = face.name;
    button.append(picture, name);
    button.onclick = () => choose(face.id);
    box.append(button);
    poster(face.id, picture, face.name);
  }
  const add = document.createElement("button");
  add.className = "face add";
  add.innerHTML = '<span class="pic"><svg viewBox="0 0 24 24"><path d="M12 5v14M5 12h14"/></svg></span><b>Add</b>';
  add.title = "A face of your own";
  add.onclick = () => making.toggle();
  box.append(add);
  mark(link.subject);
}

async function poster(id, place, name) {
  try {
    const blob = await (await ask(`api/faces/${encodeURIComponent(id)}/poster`)).blob();
    const image = new Image();
    image.alt = name;
    image.src = URL.createObjectURL(blob);
    image.onload = () => URL.revokeObjectURL(image.src);
    place.append(image);
  } catch (error) {
    toast(error.message);
  }
}

function mark(id) {
  for (const button of document.querySelectorAll(".face[data-face]")) {
    button.setAttribute("aria-checked", String(button.dataset.face === id));
  }
  const face = faces.find((one) => one.id === id);
  find("save-face").hidden = !(face?.kind === "avatar" && face.id.length === 24); // those that ship are saved already
}

function choose(id) {
  if (id === link.subject && link.open) return;
  const face = faces.find((one) => one.id === id);
  veil(face ? `Waking ${face.name}` : "Waking the face");
  link.subject = id;
  if (!link.send({ type: "subject", id })) {
    link.session = "";
    link.connect();
  }
}

// Talking

function setSource(name) {
  if (active) stop();
  source = name;
  for (const button of find("sources").children) {
    button.setAttribute("aria-checked", String(button.dataset.source === name));
  }
  for (const part of document.querySelectorAll(".source")) part.hidden = part.dataset.for !== name;
  setActive(false);
}

function setActive(on) {
  active = on;
  find("talk").classList.toggle("on", on);
  find("talk-text").textContent = NAMES[source][on ? 1 : 0];
  find("talk-icon").innerHTML = on ? ICONS.stop : ICONS[source];
  find("progress").hidden = !(on && (source === "file" || source === "text"));
  find("preview").hidden = !(on && source === "camera");
  const what = { microphone: "latency", file: "off the sound", text: "off the sound", camera: "latency" };
  find("m-latency-name").textContent = what[source];
  if (!on) find("level").style.transform = "scaleX(0)";
}

async function start() {
  if (busy) return;
  busy = true;
  try {
    if (source === "microphone") {
      await sound.microphone(find("microphones").value);
      listDevices();
    } else if (source === "camera") {
      await sound.begin();
      await camera.begin(find("cameras").value, find("preview"));
      listDevices();
    } else if (source === "text") {
      const text = find("text").value.trim();
      if (!text) {
        find("text").focus();
        return;
      }
      const body = JSON.stringify({ text });
      const headers = { "Content-Type": "application/json" };
      await sound.begin();
      await sound.file(await (await ask("api/speech", { method: "POST", body, headers })).arrayBuffer());
    } else {
      if (!bytes) {
        find("sound-file").click();
        return;
      }
      await sound.file(bytes.slice(0));
    }
    for (const name of ["latency", "offset", "camera", "ahead"]) player.times[name] = [];
    setActive(true);
  } catch (error) {
    const refused = { NotAllowedError: "The browser was not allowed to listen or to look.", NotFoundError: "No such device was found.", EncodingError: "That file holds no sound that this browser can decode." };
    toast(refused[error.name] ?? error.message);
    setActive(false);
  } finally {
    busy = false;
  }
}

// The end of a turn: what was said is still shown to its end.
function stop() {
  const cut = sound.mode === "file";
  sound.stop();
  camera.stop();
  setActive(false);
  if (cut) silence();
}

function interrupt() {
  if (sound.mode === "file") {
    sound.stop();
    setActive(false);
  }
  silence();
}

function silence() {
  epoch++;
  player.interrupt(epoch);
  link.send({ type: "interrupt", epoch });
}

async function take(file) {
  if (!file) return;
  if (file.type.startsWith("image/") || file.name.endsWith(".avatar")) {
    await making.upload(file);
    return;
  }
  bytes = await file.arrayBuffer();
  find("file-name").textContent = file.name;
  setSource("file");
  await start();
}

async function listDevices() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  for (const [kind, id, name] of [["audioinput", "microphones", "Microphone"], ["videoinput", "cameras", "Camera"]]) {
    const select = find(id);
    const kept = select.value;
    const options = devices.filter((one) => one.kind === kind && one.deviceId && one.deviceId !== "default");
    select.replaceChildren(select.options[0]);
    options.forEach((one, index) => select.append(new Option(one.label || `${name} ${index + 1}`, one.deviceId)));
    select.value = [...select.options].some((one) => one.value === kept) ? kept : "";
  }
}

// Expression and movement

function sendWishes() {
  const emotion = wish.emotion === "neutral" ? {} : { [wish.emotion]: wish.intensity };
  link.send({ type: "set", emotion, scale: wish.scale, head: wish.head, gaze: wish.gaze, blink: wish.blink });
}

function setEmotion(name) {
  wish.emotion = name;
  for (const button of find("emotions").children) {
    button.setAttribute("aria-checked", String(button.textContent === name));
  }
  sendWishes();
}

function setIntensity(value) {
  wish.intensity = Math.max(0, Math.min(1, value));
  find("intensity").value = wish.intensity;
  fill(find("intensity"));
  sendWishes();
}

// A slider's filled part, and its number.
function fill(slider) {
  slider.style.setProperty("--at", `${(100 * (slider.value - slider.min)) / (slider.max - slider.min)}%`);
  slider.nextElementSibling.textContent = `${Math.round(100 * slider.value)}%`;
}

function follow(event) {
  if (!find("follow").checked || lookDue) return;
  lookDue = setTimeout(() => (lookDue = null), 40);
  const box = find("frame").getBoundingClientRect();
  const within = (value) => Math.max(-1, Math.min(1, value));
  const x = within((event.clientX - box.left - box.width / 2) / (box.width * 0.9));
  const y = within((event.clientY - box.top - box.height * 0.42) / (box.height * 0.6));
  link.send({ type: "set", look: [x, y] });
}

// Recording

function setRecording(on) {
  recording = on ? performance.now() : 0;
  find("rec").hidden = !on;
  find("record").setAttribute("aria-pressed", String(on));
  find("record").querySelector("span").textContent = on ? "End" : "Record";
}

async function download(path, name) {
  try {
    const blob = await (await ask(path)).blob();
    const anchor = document.createElement("a");
    anchor.href = URL.createObjectURL(blob);
    anchor.download = name;
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 10000);
  } catch (error) {
    toast(error.message);
  }
}

function addRecording({ name, seconds }) {
  find("recordings-card").hidden = false;
  const item = document.createElement("li");
  const text = document.createElement("span");
  text.textContent = `${new Date().toLocaleTimeString()} · ${seconds.toFixed(1)} s`;
  const save = document.createElement("button");
  save.textContent = "Save";
  save.onclick = async () => {
    await download(`api/recordings/${encodeURIComponent(name)}`, name.replace(/-[0-9a-f]{16}(?=\.mp4$)/, ""));
  };
  const erase = document.createElement("button");
  erase.textContent = "Erase";
  erase.onclick = async () => {
    try {
      await ask(`api/recordings/${encodeURIComponent(name)}`, { method: "DELETE" });
      item.remove();
    } catch (error) {
      toast(error.message);
    }
  };
  item.append(text, save, erase);
  item.dataset.recording = name;
  find("recordings").prepend(item);
}

// Meter

function measured() {
  const name = source === "file" || source === "text" ? "offset" : source === "camera" ? "camera" : "latency";
  return { ...player.counts, ...called, source: player.source, stats, ...Object.fromEntries(["latency", "offset", "camera", "interval", "ahead"].map((one) => [one, player.measured(one)])), now: player.measured(name) };
}

let before = { at: performance.now(), shown: 0 };

async function showMeter() {
  if (calling) called = await link.numbers();
  const now = measured();
  const at = performance.now();
  const fps = (1000 * (now.shown - before.shown)) / (at - before.at);
  before = { at, shown: now.shown };
  find("m-latency").textContent = now.now && active ? `${Math.abs(Math.round(now.now.p50))} ms` : "–";
  find("m-fps").textContent = Math.round(fps);
  find("m-dropped").textContent = now.dropped + (stats.dropped_all ?? 0);
  if (recording) {
    const seconds = Math.floor((at - recording) / 1000);
    find("rec").querySelector("b").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }
  if (!find("details").open) return;
  const both = (one) => (one ? `${one.p50.toFixed(0)} / ${one.p95.toFixed(0)} ms` : "–");
  const rows = [
    ["Sound sent to picture shown (middle / 95%)", both(now.latency)],
    ["Camera to picture shown", both(now.camera)],
    ["Picture after its sound", both(now.offset)],
    ["Between two pictures", both(now.interval)],
    ["Left out here / by the server", `${now.dropped} / ${stats.dropped_all ?? 0}`],
    ["Drawing a picture", `${stats.draw_ms ?? "–"} ms`],
    ["Coding it", `${stats.code_ms ?? "–"} ms`],
    ["Video", { h264: "H.264, WebCodecs", jpeg: "JPEG", call: "WebRTC" }[link.codec]],
    ["There and back", called?.trip ? `${called.trip.toFixed(0)} ms` : "–"],
  ];
  find("numbers").replaceChildren(
    ...rows.flatMap(([name, value]) => {
      const term = document.createElement("dt");
      const text = document.createElement("dd");
      term.textContent = name;
      text.textContent = value;
      return [term, text];
    }),
  );
}

// Ten times a second is enough for the eye, and every change costs the browser a repaint.
function showLevel() {
  if (!active) return;
  if (sound.mode !== "none") find("level").style.transform = `scaleX(${Math.min(1, sound.level * 6).toFixed(2)})`;
  if (sound.mode === "file") find("progress").firstElementChild.style.width = `${(100 * sound.progress()).toFixed(1)}%`;
}

function toast(text) {
  const item = document.createElement("div");
  item.className = "toast";
  item.textContent = text;
  find("toasts").append(item);
  setTimeout(() => item.remove(), 5000);
  while (find("toasts").children.length > 3) find("toasts").firstElementChild.remove();
}

// Wiring

function toggle() {
  if (active) stop();
  else start();
}

find("talk").onclick = toggle;
find("interrupt").onclick = interrupt;
find("record").onclick = () => link.send({ type: "record", on: !recording });
find("save-face").onclick = () => {
  const face = faces.find((one) => one.id === link.subject);
  if (face) download(`api/faces/${encodeURIComponent(face.id)}/avatar`, `${face.name}.avatar`);
};
find("centre").onclick = () => link.send({ type: "centre" });
find("drop").onclick = () => find("sound-file").click();
find("sound-file").onchange = (event) => take(event.target.files[0]);
find("face-file").onchange = (event) => event.target.files[0] && making.upload(event.target.files[0]);
find("intensity").oninput = (event) => setIntensity(Number(event.target.value));
find("keys").onclick = () => find("help").showModal();
find("follow").onchange = (event) => {
  if (!event.target.checked) link.send({ type: "set", look: null });
};
find("theme").onclick = () => {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("liveface-theme", document.documentElement.dataset.theme);
};
for (const button of find("sources").children) button.onclick = () => setSource(button.dataset.source);
for (const name of EMOTIONS) {
  const button = document.createElement("button");
  button.setAttribute("role", "radio");
  button.textContent = name;
  button.onclick = () => setEmotion(name);
  find("emotions").append(button);
}
const dials = [...document.querySelectorAll("[data-dial]")];
for (const slider of dials) {
  slider.oninput = () => {
    wish[slider.dataset.dial] = Number(slider.value);
    fill(slider);
    if (slider.dataset.dial !== "blink") sendWishes();
  };
  if (slider.dataset.dial === "blink") slider.onchange = sendWishes;
}
find("text").onkeydown = (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !active) start();
};
find("reset").onclick = () => {
  for (const slider of dials) {
    slider.value = 1;
    slider.oninput();
  }
  setEmotion("neutral");
};
addEventListener("pointermove", follow);
addEventListener("dragover", (event) => {
  event.preventDefault();
  find("dropping").hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) find("dropping").hidden = true;
});
addEventListener("drop", (event) => {
  event.preventDefault();
  find("dropping").hidden = true;
  take(event.dataTransfer.files[0]);
});
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || find("help").open) return;
  const typing = /^(select|textarea)$/i.test(event.target.tagName) || /^(range|text)$/.test(event.target.type);
  const onButton = event.target.tagName === "BUTTON" || event.target.tagName === "SUMMARY" || event.target.type === "checkbox";
  if (event.key === "Escape") interrupt();
  else if (event.key === " " && !typing && !onButton) toggle();
  else if (typing) return;
  else if (event.key === "r" || event.key === "R") find("record").click();
  else if (event.key === "n" || event.key === "N") next();
  else if (event.key === "?") find("help").showModal();
  else if (event.key === "[") setIntensity(wish.intensity - 0.1);
  else if (event.key === "]") setIntensity(wish.intensity + 0.1);
  else if (/^[1-8]$/.test(event.key)) setEmotion(EMOTIONS[Number(event.key) - 1]);
  else return;
  event.preventDefault();
});

function next() {
  const at = faces.findIndex((one) => one.id === link.subject);
  if (faces.length) choose(faces[(at + 1) % faces.length].id);
}

async function offer() {
  const { create, speech } = await (await ask("api/health")).json();
  making.possible = create;
  document.querySelector('[data-source="text"]').hidden = !speech;
  find("speaker").textContent = speech;
}

async function begin() {
  const kept = localStorage.getItem("liveface-theme");
  if (kept) document.documentElement.dataset.theme = kept;
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem("liveface-token", given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  link.token = given ?? sessionStorage.getItem("liveface-token") ?? "";
  if (!calling) link.codec = new URLSearchParams(location.search).get("codec") === "jpeg" ? "jpeg" : await Player.codec();
  setEmotion("neutral");
  setActive(false);
  fill(find("intensity"));
  setInterval(showMeter, 500);
  setInterval(showLevel, 100);
  try {
    await listFaces();
    await offer();
  } catch (error) {
    toast(error.message);
  }
  link.connect();
}

// For whoever measures or drives the page from outside: programs, tests, agents.
globalThis.liveface = { link, making, measured, take, start, stop, interrupt, setSource, setEmotion, choose };
begin();
