/** Files of the exported folder: fetched from where the worker lies, unpacked where they are packed. */

/** The bytes of a file beside the worker. */
export async function fetched(name: string, base: string): Promise<Uint8Array<ArrayBuffer>> {
  let answer: Response;
  try {
    answer = await fetch(new URL(name, base));
  } catch {
    throw new Error(`${name} cannot be reached; expected it in the exported folder.`);
  }
  if (!answer.ok) throw new Error(`${name} is answered with ${answer.status}; expected it in the exported folder.`);
  return unpacked(new Uint8Array(await answer.arrayBuffer()));
}

/** The same bytes, or what they hold where they begin as gzip does: some hosts unpack `.gz` on the way, others do not. */
export async function unpacked(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
