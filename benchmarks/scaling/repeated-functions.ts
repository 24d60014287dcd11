/** Larger modules out of real ones. */

const FUNCTION_SECTION = 3;
const CODE_SECTION = 10;
const HEADER_BYTES = 8;

interface Number32 {
  readonly value: number;
  readonly end: number;
}

function readNumber(bytes: Uint8Array, at: number): Number32 {
  let value = 0;
  for (let end = at, shift = 1; ; end++, shift *= 128) {
    const byte = bytes[end] ?? 0;
    value += (byte & 127) * shift;
    if (byte < 128) return { value, end: end + 1 };
  }
}

function numberBytes(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    bytes.push(rest < 128 ? rest : (rest % 128) + 128);
    if (rest < 128) return Uint8Array.from(bytes);
  }
}

/**
 * The module with more functions behind its own: the same ones once more, from the first on, until it has about `byteLength`
 * bytes. They call the originals, so it is valid, and does what it did.
 */
export function withRepeatedFunctions(module: Uint8Array, byteLength: number): Uint8Array {
  const sections = new Map<number, Uint8Array>();
  for (let at = HEADER_BYTES; at < module.length; ) {
    const { value, end } = readNumber(module, at + 1);
    sections.set(module[at] ?? 0, module.subarray(end, end + value));
    at = end + value;
  }
  const types = entries(sections.get(FUNCTION_SECTION), (bytes, at) => readNumber(bytes, at).end);
  const bodies = entries(sections.get(CODE_SECTION), (bytes, at) => {
    const { value, end } = readNumber(bytes, at);
    return end + value;
  });
  const [moreTypes, moreBodies]: [Uint8Array[], Uint8Array[]] = [[], []];
  for (let added = 0; module.length + added < byteLength; ) {
    const index = moreBodies.length % bodies.length;
    const [type, body] = [types[index] ?? new Uint8Array(0), bodies[index] ?? new Uint8Array(0)];
    moreTypes.push(type);
    moreBodies.push(body);
    added += type.length + body.length;
  }
  const parts: Uint8Array[] = [module.subarray(0, HEADER_BYTES)];
  for (let at = HEADER_BYTES; at < module.length; ) {
    const { value, end } = readNumber(module, at + 1);
    const id = module[at] ?? 0;
    if (id === FUNCTION_SECTION) parts.push(sectionOf(id, types.concat(moreTypes)));
    else if (id === CODE_SECTION) parts.push(sectionOf(id, bodies.concat(moreBodies)));
    else parts.push(module.subarray(at, end + value));
    at = end + value;
  }
  return Buffer.concat(parts);
}

function entries(section: Uint8Array | undefined, endOf: (bytes: Uint8Array, at: number) => number): Uint8Array[] {
  const found: Uint8Array[] = [];
  if (section === undefined) return found;
  for (let at = readNumber(section, 0).end; at < section.length; ) {
    const end = endOf(section, at);
    found.push(section.subarray(at, end));
    at = end;
  }
  return found;
}

function sectionOf(id: number, all: readonly Uint8Array[]): Uint8Array {
  const contents = Buffer.concat([numberBytes(all.length), ...all]);
  return Buffer.concat([Uint8Array.of(id), numberBytes(contents.length), contents]);
}
