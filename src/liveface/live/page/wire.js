// The wire between page and server; its twin and its description are in liveface/live/wire.py.

const SOUND = 1, CAMERA = 2, PICTURE = 16;
export const SOURCES = ["idle", "sound", "camera"];

export function packSound(samples, start, rate, sequence) {
  const data = new DataView(new ArrayBuffer(20 + 2 * samples.length));
  data.setUint8(0, SOUND);
  data.setUint32(4, sequence >>> 0, true);
  data.setBigUint64(8, BigInt(start), true);
  data.setUint32(16, rate, true);
  for (let i = 0; i < samples.length; i++) {
    data.setInt16(20 + 2 * i, Math.max(-32768, Math.min(32767, Math.round(samples[i] * 32767))), true);
  }
  return data.buffer;
}

export function packCamera(jpeg, time, sequence) {
  const data = new Uint8Array(16 + jpeg.byteLength);
  const head = new DataView(data.buffer);
  head.setUint8(0, CAMERA);
  head.setUint32(4, sequence >>> 0, true);
  head.setFloat64(8, time, true);
  data.set(new Uint8Array(jpeg), 16);
  return data.buffer;
}

// A picture's message, or null for a kind that this version does not know.
export function unpackPicture(buffer) {
  const data = new DataView(buffer);
  if (buffer.byteLength < 32 || data.getUint8(0) !== PICTURE) return null;
  const flags = data.getUint8(2);
  return {
    codec: data.getUint8(1) === 0 ? "h264" : "jpeg",
    key: (flags & 1) !== 0,
    fresh: (flags & 2) !== 0,
    source: SOURCES[data.getUint8(3)] ?? "idle",
    number: data.getUint32(4, true),
    epoch: data.getUint32(8, true),
    sound: data.getFloat64(12, true),
    camera: data.getFloat64(20, true),
    took: data.getFloat32(28, true),
    payload: new Uint8Array(buffer, 32),
  };
}

// The codec string of WebCodecs, from the parameter set in a key frame (Annex B).
export function codecOf(payload) {
  for (let i = 0; i + 7 < payload.length; i++) {
    if (payload[i] === 0 && payload[i + 1] === 0 && payload[i + 2] === 1 && (payload[i + 3] & 31) === 7) {
      const hex = (value) => value.toString(16).padStart(2, "0");
      return "avc1." + hex(payload[i + 4]) + hex(payload[i + 5]) + hex(payload[i + 6]);
    }
  }
  return null;
}
