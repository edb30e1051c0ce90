/** What a page imports: the element is defined at once. */
export type { Ending, Speakable } from "./audio.js";
export { define, LiveFace, type LiveFaceEvents, type Loaded, type Trouble } from "./component.js";
export type { Dials, Percentiles, Source, Stats, Variant } from "./protocol.js";
export { type Emotion, EMOTIONS } from "./types.js";
declare global {
    interface HTMLElementTagNameMap {
        "live-face": import("./component.js").LiveFace;
    }
}
