/** The face's own motion spread over the grid. Twin of `grid.weights @ (carried - rigid)` in `Rig.pose`. */

/**
 * @param weights float32 `[nodes, anchors]`, anchors a multiple of 4
 * @param x, y float32 `[anchors]`; field: float32 `[nodes, 2]`, added to
 */
export function spread(weights: usize, nodes: i32, anchors: i32, x: usize, y: usize, field: usize): void {
  for (let node: i32 = 0; node < nodes; node++) {
    let sx = f32x4.splat(0), sy = f32x4.splat(0);
    for (let at: i32 = 0; at < anchors << 2; at += 16) {
      const weight = v128.load(weights + at);
      sx = f32x4.add(sx, f32x4.mul(weight, v128.load(x + at)));
      sy = f32x4.add(sy, f32x4.mul(weight, v128.load(y + at)));
    }
    store<f32>(field, load<f32>(field) + total(sx));
    store<f32>(field, load<f32>(field, 4) + total(sy), 4);
    weights += anchors << 2;
    field += 8;
  }
}

// @ts-ignore: decorator
@inline
function total(lanes: v128): f32 {
  return f32x4.extract_lane(lanes, 0) + f32x4.extract_lane(lanes, 1) + f32x4.extract_lane(lanes, 2) + f32x4.extract_lane(lanes, 3);
}
