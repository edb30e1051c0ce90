/** What the parts hand to each other. Twin of `liveface/types.py`; angles in radians, x right, y down. */
/**
 * One frame of motion: ARKit's 52 in Apple's order, head `[6]` (pitch, yaw, roll, then x, y, z in centimetres), gaze
 * `[4]` (left eye's pitch and yaw, right eye's pitch and yaw, relative to the head).
 */
export interface MotionFrame {
    readonly expression: Float32Array;
    readonly head: Float32Array;
    readonly gaze: Float32Array;
}
/** A picture: RGBA, not premultiplied, rows from above. */
export interface Picture {
    readonly data: Uint8ClampedArray<ArrayBuffer>;
    readonly width: number;
    readonly height: number;
}
/** Milliseconds by stage, of one frame. */
export type Stages = Record<string, number>;
export declare const FPS = 30;
export declare const EMOTIONS: readonly ["neutral", "happy", "sad", "angry", "afraid", "disgusted", "surprised", "contemptuous"];
export type Emotion = (typeof EMOTIONS)[number];
