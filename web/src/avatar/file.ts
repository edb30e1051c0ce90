/**
 * The avatar of the browser: the file that `liveface export --to web` writes. Twin of `liveface/web_avatar.py`, which says
 * what is in it; `readAvatar` refuses what is damaged or of another version in one sentence.
 */

import type { Picture } from "../types.js";
import { unzip } from "./zip.js";

export const REGIONS = ["mouth", "eyes", "hair", "body"] as const;
export type Region = (typeof REGIONS)[number];
export type NetworkName = Region | "compositor";

/** Lowest and highest values of every number of one track or control vector. */
export type Limits = readonly [readonly number[], readonly number[]];

export interface Reach {
  readonly ranges: Readonly<Record<string, Limits>>;
  readonly follow: readonly [readonly number[], readonly number[]] | null;
}

/** What `web.json` says of a person and the rig. */
export interface About {
  readonly name: string;
  readonly made: { readonly maker: string; readonly on: string; readonly tool: string; readonly source: string };
  readonly consent: string;
  readonly licence: string;
  readonly synthetic: true;
  readonly canvas: readonly [number, number];
  readonly fps: number;
  readonly behaviour: Readonly<Record<"blinks_per_min" | "gaze" | "sway" | "breaths_per_min" | "breath_e" | "nods_per_min", number>>;
  readonly reach: Reach;
  readonly rig: Readonly<Record<"margin" | "texture_scale" | "cell" | "steps" | "eye_px" | "px_per_cm" | "shoulders_follow", number>>;
  /** `box`: the `[2, 3]` matrix of patch pixels to canvas pixels at rest; drawn at frames with `index % every == offset`. */
  readonly regions: Readonly<Record<Region, { readonly size: readonly [number, number]; readonly every: number; readonly offset: number; readonly box: readonly number[] }>>;
  readonly paint_order: readonly Region[];
  /** Size of a step and the number that stands for 0 of every INT8 end; the size is 0 for floats. */
  readonly networks: Readonly<Record<NetworkName, { readonly steps: Readonly<Record<string, readonly [number, number]>> }>>;
}

export interface WebAvatar {
  readonly about: About;
  /** A picture of the person: PNG or JPEG. */
  readonly poster: Uint8Array<ArrayBuffer>;
  readonly reference: Picture;
  readonly matte: Picture;
  readonly plate: Picture;
  /** Arrays by name, as `Rig.posing` gives them, with the features and the windows. */
  readonly numbers: Readonly<Record<string, Float32Array | Int32Array | Uint8Array | Int8Array>>;
  readonly networks: Readonly<Record<NetworkName, Uint8Array<ArrayBuffer>>>;
}

/** How a JPEG or PNG is decoded: RGBA, not premultiplied, colours as they are stored. */
export type Decode = (bytes: Uint8Array<ArrayBuffer>, type: "image/jpeg" | "image/png") => Promise<Picture>;

const FORMAT = "liveface web avatar";
const VERSION = 1;
const ARRAYS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array, int8: Int8Array };

/** Arrays that an avatar has beside the windows of its regions. */
const NAMES = "carriers basis nodes_cm steady steady_px rigid weights own turn centre rest_lips near_person features".split(" ");

/** Read an avatar; throws one sentence when it is none, damaged, or of another version. */
export async function readAvatar(data: ArrayBuffer, decode: Decode = decodePicture): Promise<WebAvatar> {
  const files = await unzip(new Uint8Array(data), "the avatar");
  const [first] = files.keys();
  if (first === "avatar.json") {
    throw new Error("this is an avatar for the program, not for the browser; expected one that `liveface export AVATAR --to web DIR` wrote.");
  }
  const take = (name: string): Uint8Array<ArrayBuffer> => {
    const file = files.get(name);
    if (file === undefined) throw new Error(`the avatar lacks ${name}; expected a whole file: export it again.`);
    return file;
  };
  const said = told(take("web.json"));
  const pictures = await Promise.all([
    decode(take("rig/reference.jpg"), "image/jpeg"),
    decode(take("rig/matte.png"), "image/png"),
    decode(take("rig/plate.jpg"), "image/jpeg"),
  ]);
  const [reference, matte, plate] = pictures;
  checkPictures(said, reference, matte, plate);
  const names: readonly NetworkName[] = [...REGIONS, "compositor"];
  return {
    about: said,
    poster: take(files.has("poster.png") ? "poster.png" : "poster.jpg"),
    reference,
    matte,
    plate,
    numbers: numbers(said.numbers, take("rig/numbers.bin")),
    networks: Object.fromEntries(names.map((name) => [name, take(`networks/${name}.tflite`)])) as Record<NetworkName, Uint8Array<ArrayBuffer>>,
  };
}

type Table = Readonly<Record<string, { type: keyof typeof ARRAYS; shape: readonly number[]; at: number }>>;

function told(text: Uint8Array): About & { numbers: Table } {
  const said = parsed(text);
  const { format, version, synthetic } = said;
  if (format !== FORMAT || version !== VERSION || synthetic !== true) {
    throw new Error(`the avatar says it is ${JSON.stringify(format)}, version ${JSON.stringify(version)}; this page reads ${JSON.stringify(FORMAT)}, version ${VERSION}: export it with the program this page came from.`);
  }
  return said as unknown as About & { numbers: Table };
}

function parsed(text: Uint8Array): Record<string, unknown> {
  try {
    return JSON.parse(new TextDecoder().decode(text)) as Record<string, unknown>;
  } catch (error) {
    throw new Error("the avatar's web.json cannot be read; expected a whole file: export it again.", { cause: error });
  }
}

function numbers(table: Table, file: Uint8Array<ArrayBuffer>): WebAvatar["numbers"] {
  const out: Record<string, Float32Array | Int32Array | Uint8Array | Int8Array> = {};
  for (const [name, { type, shape, at }] of Object.entries(table)) {
    const count = shape.reduce((a, b) => a * b, 1);
    const made = ARRAYS[type];
    if (made === undefined || at < 0 || at + count * made.BYTES_PER_ELEMENT > file.byteLength) {
      throw new Error(`the avatar's ${name} lies beyond its numbers; expected a whole file: export it again.`);
    }
    out[name] = new made(file.buffer, file.byteOffset + at, count);
  }
  const missing = [...NAMES, ...REGIONS.map((name) => `window/${name}`)].find((name) => out[name] === undefined);
  if (missing !== undefined) throw new Error(`the avatar has no numbers called ${missing}; expected a whole file: export it again.`);
  return out;
}

function checkPictures({ canvas: [width, height], rig }: About, reference: Picture, matte: Picture, plate: Picture): void {
  const [wide, high] = [rig.texture_scale * (width + 2 * rig.margin), rig.texture_scale * (height + 2 * rig.margin)];
  const right = [reference, matte].every((one) => one.width === wide && one.height === high);
  if (!right || plate.width !== width || plate.height !== height) {
    throw new Error(`the avatar's pictures do not fit its canvas of ${width} x ${height}; expected ${wide} x ${high}: export it again.`);
  }
}

/** The browser's own decoder, without colour management. */
async function decodePicture(bytes: Uint8Array<ArrayBuffer>, type: "image/jpeg" | "image/png"): Promise<Picture> {
  const bitmap = await createImageBitmap(new Blob([bytes], { type }), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (context === null) throw new Error("this browser draws no pictures in a worker; expected one with OffscreenCanvas.");
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  return { data: data as Uint8ClampedArray<ArrayBuffer>, width, height };
}
