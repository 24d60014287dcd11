/** Whether the integers that a wrapper returns are what a script expects. */

import { LANE_BYTES } from "./wrappers.mjs";

/** The canonical NaN, and all bits but the sign. */
const NANS = {
  f32: { canonical: 0x7fc00000n, unsigned: 0x7fffffffn },
  f64: { canonical: 0x7ff8000000000000n, unsigned: 0x7fffffffffffffffn },
};

function sameNumber(type, bits, wanted) {
  if (wanted === "nan:canonical") return (bits & NANS[type].unsigned) === NANS[type].canonical;
  if (wanted === "nan:arithmetic") return (bits & NANS[type].canonical) === NANS[type].canonical;
  return bits === BigInt.asUintN(8 * LANE_BYTES[type], BigInt(wanted));
}

/** Takes what it needs from the front of `integers`. */
function matches(wanted, integers) {
  const { type, value } = wanted;
  if (type === "either") {
    const before = [...integers];
    return wanted.values.some((one) => {
      integers.splice(0, integers.length, ...before);
      return matches(one, integers);
    });
  }
  const next = () => BigInt(integers.shift());
  if (type in LANE_BYTES) return sameNumber(type, BigInt.asUintN(8 * LANE_BYTES[type], next()), value);
  if (type === "v128") {
    const low = BigInt.asUintN(64, next());
    const all = low | (BigInt.asUintN(64, next()) << 64n);
    const width = 8 * LANE_BYTES[wanted.lane_type];
    return value.every((one, lane) =>
      sameNumber(wanted.lane_type, BigInt.asUintN(width, all >> BigInt(lane * width)), one),
    );
  }
  const isNull = next() === 1n;
  return (value === "null" || type.startsWith("null")) === isNull;
}

export function meets(expected, results) {
  const integers = [...results];
  return expected.every((wanted) => matches(wanted, integers)) && integers.length === 0;
}
