/**
 * One function, understood far enough to be rewritten: its instructions, safepoint sites, and the operands that lie
 * below each site.
 *
 * A *site* is a place where an activation may be left and its frame saved: a call that can unwind, a loop header, or
 * the function's entry. Its offset in the original module is its name, in every instrumented form of that module.
 *
 * Operands that lie on the stack below a site's own arguments are out of a handler's reach, so each is copied to a
 * temporary where it is produced (`local.tee`; a set and a get for producers of several values). Temporaries are shared
 * by stack height and type.
 *
 * A1  The site set and the temporaries depend on the original bytes only, never on how safepoints are polled: an image
 *     saved by one form resumes in another.
 * A2  Unreachable instructions are marked dead and left out; they have no sites.
 * A3  If the operand at height h is marked as needed, so is every operand below it.
 *
 * The arrays are reused from function to function; one analysis is current at a time.
 */
import { ByteReader } from "../wasm/byte-reader.js";
import { type Module, typeOfFunction } from "../wasm/module.js";
import { ATOMIC, EMPTY_BLOCK, Misc, Op, PLAIN, SIMD } from "../wasm/opcodes.js";
import { type FunctionType, ValueType } from "../wasm/value-types.js";
import { type CallGraph, refuseOpcode } from "./call-graph.js";
import { computeLiveness } from "./liveness.js";

/** What happens in a turn of a loop: plain code; inner loops, guest handlers or calls that cannot unwind; or calls that can. */
export const LoopCost = { plain: 0, nested: 1, calls: 2 } as const;

export const SiteKind = { call: 0, loop: 1, entry: 2 } as const;

export interface Site {
  /** Instruction index; -1 for the entry. */
  readonly instruction: number;
  readonly kind: (typeof SiteKind)[keyof typeof SiteKind];
  /** Byte offset in the original module; the declaration of locals stands for the entry. */
  readonly offset: number;
  /** Temporaries that hold the operands below, bottom first. */
  readonly operands: readonly number[];
  /** Catch sections around the site, outermost first, by the instruction index of their `catch`. */
  readonly catchSections: readonly number[];
  /** Locals that may be read later on. */
  live: readonly number[];
}

/** What a catch section that rethrows keeps, so that a continuation can throw the same exception again. */
export interface CaughtException {
  /** For catch_all: the local that says which tag it was (tag index + 1). */
  readonly which: number | undefined;
  /** Payload locals by tag. */
  readonly payloads: ReadonlyMap<number, readonly number[]>;
}

/** A producer of several values: where they land, their types, and whether any is needed. */
interface MultiProducer {
  readonly height: number;
  readonly types: readonly ValueType[];
  needed: boolean;
}

const NONE: readonly ValueType[] = [];

export class FunctionAnalysis {
  readonly module: Module;
  readonly graph: CallGraph;

  instructionCount = 0;
  opcodes: Uint8Array = new Uint8Array(0);
  /** Start of each instruction; one more entry for the end of the body. */
  positions: Int32Array = new Int32Array(0);
  /** Blocktype (negative: as in the format, -64 for empty), label, or index, by opcode. */
  operands: Int32Array = new Int32Array(0);
  /** 1 + the temporary that receives a copy of the instruction's result, or 0. */
  copies: Int32Array = new Int32Array(0);
  dead: Uint8Array = new Uint8Array(0);
  /** For a block's start its end; for its end, else and catches its start. */
  partners: Int32Array = new Int32Array(0);
  /** For `if` its else; for `try` its first catch; for a first catch 1; else 0. */
  arms: Int32Array = new Int32Array(0);
  /** 1 + index in `sites`, or 0. */
  siteOf: Int32Array = new Int32Array(0);
  /** Operand stack height at a block's start, parameters not counted. */
  baseHeights: Int32Array = new Int32Array(0);
  /** For a loop's end: what a turn may cost. */
  loopCosts: Uint8Array = new Uint8Array(0);

  functionIndex = 0;
  type: FunctionType = { params: NONE, results: NONE };
  /** Parameters, then declared locals. */
  localTypes: ValueType[] = [];
  /** Declared locals as the body has them. */
  localGroups: [count: number, type: ValueType][] = [];
  bodyFrom = 0;
  temporaryTypes: ValueType[] = [];
  sites: Site[] = [];
  multiProducers = new Map<number, MultiProducer>();
  caughtExceptions = new Map<number, CaughtException>();

  #temporaries = new Map<number, number>();
  #rethrownSections = new Set<number>();
  #analysedLocals = 0;
  #capacity = 0;
  #stackTypes: Uint8Array = new Uint8Array(1 << 12);
  #stackProducers: Int32Array = new Int32Array(1 << 12);
  #stackNeeded: Uint8Array = new Uint8Array(1 << 12);
  #height = 0;
  #controlOpcode: number[] = [];
  #controlStart: number[] = [];
  #controlHeight: number[] = [];
  #controlDead: boolean[] = [];
  #controlType: number[] = [];
  #controlCost: number[] = [];
  /** The catch instruction of the section that a control frame is in, or -1. */
  #controlSection: number[] = [];

  constructor(module: Module, graph: CallGraph) {
    this.module = module;
    this.graph = graph;
  }

  /** The type of a local or temporary. */
  typeOfLocal(index: number): ValueType {
    const declared = this.localTypes.length;
    return (index < declared ? this.localTypes[index] : this.temporaryTypes[index - declared]) as ValueType;
  }

  /** Forgets locals that were added after the analysis: each writing of the function adds its own. */
  dropAddedLocals(): void {
    this.temporaryTypes.length = this.#analysedLocals;
  }

  /** A new local beside the function's own. */
  addLocal(type: ValueType): number {
    this.temporaryTypes.push(type);
    return this.localTypes.length + this.temporaryTypes.length - 1;
  }

  /** The temporary for an operand at a height. */
  temporary(height: number, type: ValueType): number {
    const key = height * 256 + type;
    const known = this.#temporaries.get(key);
    if (known !== undefined) return known;
    const index = this.addLocal(type);
    this.#temporaries.set(key, index);
    return index;
  }

  blockParams(blockType: number): readonly ValueType[] {
    return blockType < 0 ? NONE : (this.module.types[blockType] as FunctionType).params;
  }

  blockResults(blockType: number): readonly ValueType[] {
    if (blockType === EMPTY_BLOCK - 0x80) return NONE;
    if (blockType < 0) return [(blockType + 0x80) as ValueType];
    return (this.module.types[blockType] as FunctionType).results;
  }

  /** Analyses a function with a body. Afterwards `sites` is filled, liveness included. */
  analyze(functionIndex: number): void {
    const { module, graph } = this;
    const body = 2 * (functionIndex - module.importedFunctionCount);
    const from = module.bodies[body] as number;
    this.functionIndex = functionIndex;
    this.type = typeOfFunction(module, functionIndex);
    this.temporaryTypes = [];
    this.#temporaries.clear();
    this.sites = [];
    this.multiProducers.clear();
    this.caughtExceptions.clear();
    this.#rethrownSections.clear();
    this.#readLocals(from);
    if (graph.entrySafepoint[functionIndex] === 1) {
      this.sites.push({
        instruction: -1,
        kind: SiteKind.entry,
        offset: from,
        operands: [],
        catchSections: [],
        live: [],
      });
    }
    this.#readInstructions(module.bodies[body + 1] as number);
    if (this.sites.length > 0) {
      if (this.#rethrownSections.size > 0) this.#keepCaughtExceptions();
      computeLiveness(this);
    }
    this.#analysedLocals = this.temporaryTypes.length;
  }

  #readLocals(from: number): void {
    const reader = new ByteReader(this.module.bytes, from);
    this.localTypes = [...this.type.params];
    this.localGroups = [];
    for (let groups = reader.u32(); groups > 0; groups--) {
      const count = reader.u32();
      const type = reader.u8() as ValueType;
      this.localGroups.push([count, type]);
      for (let i = 0; i < count; i++) this.localTypes.push(type);
    }
    this.bodyFrom = reader.position;
  }

  #grow(): void {
    this.#capacity = Math.max(1 << 14, this.#capacity * 2);
    const wider = (old: Int32Array): Int32Array => {
      const array = new Int32Array(this.#capacity + 1);
      array.set(old);
      return array;
    };
    const wide8 = (old: Uint8Array): Uint8Array => {
      const array = new Uint8Array(this.#capacity + 1);
      array.set(old);
      return array;
    };
    this.opcodes = wide8(this.opcodes);
    this.dead = wide8(this.dead);
    this.loopCosts = wide8(this.loopCosts);
    this.positions = wider(this.positions);
    this.operands = wider(this.operands);
    this.copies = wider(this.copies);
    this.partners = wider(this.partners);
    this.arms = wider(this.arms);
    this.siteOf = wider(this.siteOf);
    this.baseHeights = wider(this.baseHeights);
  }

  #push(type: number, producer: number): void {
    if (this.#height === this.#stackTypes.length) this.#growStack();
    this.#stackTypes[this.#height] = type;
    this.#stackProducers[this.#height] = producer;
    this.#stackNeeded[this.#height++] = 0;
  }

  #growStack(): void {
    const length = this.#stackTypes.length * 2;
    const types = new Uint8Array(length);
    types.set(this.#stackTypes);
    this.#stackTypes = types;
    const producers = new Int32Array(length);
    producers.set(this.#stackProducers);
    this.#stackProducers = producers;
    const needed = new Uint8Array(length);
    needed.set(this.#stackNeeded);
    this.#stackNeeded = needed;
  }

  /** Pushes what an instruction yields. `always`: even a single value is handled as one of several. */
  #pushAll(types: readonly ValueType[], producer: number, always: boolean): void {
    if (types.length === 0) return;
    if (types.length > 1 || always) {
      this.multiProducers.set(producer, { height: this.#height, types, needed: false });
    }
    for (const type of types) this.#push(type, producer);
  }

  /** Asks for copies of the lowest `count` operands (A3 lets it stop at the first that has one). */
  #need(count: number): void {
    for (let height = count - 1; height >= 0 && this.#stackNeeded[height] === 0; height--) {
      this.#stackNeeded[height] = 1;
      const producer = this.#stackProducers[height] as number;
      const multi = this.multiProducers.get(producer);
      if (multi === undefined) {
        this.copies[producer] = this.temporary(height, this.#stackTypes[height] as ValueType) + 1;
      } else {
        multi.needed = true;
        multi.types.forEach((type, i) => {
          this.temporary(multi.height + i, type);
        });
      }
    }
  }

  #addSite(instruction: number, kind: Site["kind"], operandCount: number): void {
    this.#need(operandCount);
    const operands: number[] = [];
    for (let height = 0; height < operandCount; height++) {
      operands.push(this.temporary(height, this.#stackTypes[height] as ValueType));
    }
    const catchSections = this.#controlSection.filter((section) => section >= 0);
    const offset = this.positions[instruction] as number;
    this.sites.push({ instruction, kind, offset, operands, catchSections, live: [] });
    this.siteOf[instruction] = this.sites.length;
  }

  #open(opcode: number, start: number, isDead: boolean, blockType: number): void {
    this.#controlOpcode.push(opcode);
    this.#controlStart.push(start);
    this.#controlHeight.push(this.#height);
    this.#controlDead.push(isDead);
    this.#controlType.push(blockType);
    this.#controlCost.push(LoopCost.plain);
    this.#controlSection.push(-1);
  }

  #raiseCost(cost: number): void {
    const top = this.#controlCost.length - 1;
    this.#controlCost[top] = Math.max(this.#controlCost[top] as number, cost);
  }

  #readInstructions(to: number): void {
    const { module, graph } = this;
    const { bytes } = module;
    let position = this.bodyFrom;
    const leb = (): number => {
      let byte = bytes[position++] as number;
      if (byte < 0x80) return byte;
      let result = byte & 0x7f;
      let shift = 7;
      do {
        byte = bytes[position++] as number;
        result |= (byte & 0x7f) << shift;
        shift += 7;
      } while (byte >= 0x80);
      return result >>> 0;
    };
    const skipLeb = (): void => {
      while ((bytes[position++] as number) >= 0x80);
    };
    const skipMemarg = (): void => {
      if ((leb() & 0x40) !== 0) skipLeb();
      skipLeb();
    };
    for (const list of this.#controlLists()) list.length = 0;
    this.#height = 0;
    this.#open(Op.block, -1, false, EMPTY_BLOCK - 0x80);
    let unreachable = false;
    let count = 0;
    while (position < to) {
      if (count >= this.#capacity) this.#grow();
      const i = count++;
      this.positions[i] = position;
      const opcode = bytes[position++] as number;
      this.opcodes[i] = opcode;
      this.copies[i] = 0;
      this.siteOf[i] = 0;
      this.dead[i] = unreachable ? 1 : 0;
      if (opcode >= Op.i32Eqz && opcode <= Op.i64Extend32S) {
        if (!unreachable) this.#effect(PLAIN, opcode, i);
        continue;
      }
      if (opcode >= Op.i32Load && opcode <= Op.i64Store32) {
        skipMemarg();
        if (!unreachable) this.#effect(PLAIN, opcode, i);
        continue;
      }
      switch (opcode) {
        case Op.block:
        case Op.loop:
        case Op.if:
        case Op.try:
        case Op.tryTable: {
          const first = bytes[position] as number;
          const isShort = first >= 0x40 && first < 0x80;
          const blockType = isShort ? first - 0x80 : leb();
          if (isShort) position++;
          if (opcode === Op.tryTable) {
            for (let clauses = leb(); clauses > 0; clauses--) {
              if ((bytes[position++] as number) < 2) skipLeb();
              skipLeb();
            }
          }
          this.operands[i] = blockType;
          this.arms[i] = 0;
          const params = this.blockParams(blockType);
          if (!unreachable) {
            if (opcode === Op.if) this.#height--;
            if (opcode === Op.loop) {
              // Parameters are operands of the site too: they are copied at the header, once each turn.
              this.#height -= params.length;
              const base = this.#height;
              this.#pushAll(params, i, true);
              this.#addSite(i, SiteKind.loop, this.#height);
              this.#height = base;
            } else this.#height -= params.length;
          }
          this.#open(opcode, i, unreachable, blockType);
          this.baseHeights[i] = this.#height;
          if (!unreachable) {
            if (opcode === Op.loop) this.#height += params.length;
            else this.#pushAll(params, i, true);
          }
          break;
        }
        case Op.else:
        case Op.catch:
        case Op.catchAll: {
          const top = this.#controlStart.length - 1;
          const start = this.#controlStart[top] as number;
          this.partners[i] = start;
          this.arms[i] = 0;
          if (opcode === Op.else) this.arms[start] = i;
          else {
            if (opcode === Op.catch) this.operands[i] = leb();
            this.#raiseCost(LoopCost.nested);
            if (this.arms[start] === 0) {
              this.arms[start] = i;
              this.arms[i] = 1;
            }
            this.#controlSection[top] = i;
          }
          unreachable = this.#controlDead[top] as boolean;
          this.dead[i] = unreachable ? 1 : 0;
          if (!unreachable) {
            this.#height = this.#controlHeight[top] as number;
            if (opcode === Op.else) this.#pushAll(this.blockParams(this.#controlType[top] as number), i, true);
            else if (opcode === Op.catch) this.#pushAll(this.#tagParams(this.operands[i] as number), i, true);
          }
          break;
        }
        case Op.delegate:
        case Op.end: {
          if (opcode === Op.delegate) this.operands[i] = leb();
          unreachable = this.#close(i, opcode);
          break;
        }
        case Op.br:
        case Op.throw:
          this.operands[i] = leb();
          unreachable = true;
          break;
        case Op.rethrow: {
          const label = leb();
          this.operands[i] = label;
          if (!unreachable) {
            const section = this.#controlSection[this.#controlSection.length - 1 - label] ?? -1;
            if (section >= 0) this.#rethrownSections.add(section);
          }
          unreachable = true;
          break;
        }
        case Op.brIf:
          this.operands[i] = leb();
          if (!unreachable) this.#height--;
          break;
        case Op.brTable:
          for (let labels = leb() + 1; labels > 0; labels--) skipLeb();
          unreachable = true;
          break;
        case Op.return:
        case Op.unreachable:
        case Op.throwRef:
          unreachable = true;
          break;
        case Op.nop:
          break;
        case Op.call: {
          const callee = leb();
          this.operands[i] = callee;
          if (!unreachable) {
            const type = typeOfFunction(module, callee);
            this.#height -= type.params.length;
            const mayUnwind = graph.mayUnwind[callee] === 1;
            this.#raiseCost(mayUnwind ? LoopCost.calls : LoopCost.nested);
            if (mayUnwind) this.#addSite(i, SiteKind.call, this.#height);
            this.#pushAll(type.results, i, false);
          }
          break;
        }
        case Op.callIndirect: {
          const typeIndex = leb();
          this.operands[i] = typeIndex;
          skipLeb();
          if (!unreachable) {
            const type = module.types[typeIndex] as FunctionType;
            this.#height -= type.params.length + 1;
            const mayUnwind = graph.typeMayUnwind[graph.canonicalType[typeIndex] as number] === 1;
            this.#raiseCost(mayUnwind ? LoopCost.calls : LoopCost.nested);
            if (mayUnwind) this.#addSite(i, SiteKind.call, this.#height);
            this.#pushAll(type.results, i, false);
          }
          break;
        }
        case Op.returnCall:
          this.operands[i] = leb();
          unreachable = true;
          break;
        case Op.returnCallIndirect:
          this.operands[i] = leb();
          skipLeb();
          unreachable = true;
          break;
        case Op.drop:
          if (!unreachable) this.#height--;
          break;
        case Op.select:
        case Op.selectTyped:
          if (opcode === Op.selectTyped) for (let n = leb(); n > 0; n--) position++;
          if (!unreachable) {
            const type = this.#stackTypes[this.#height - 3] as number;
            this.#height -= 3;
            this.#push(type, i);
          }
          break;
        case Op.localGet: {
          const local = leb();
          this.operands[i] = local;
          if (!unreachable) this.#push(this.localTypes[local] as number, i);
          break;
        }
        case Op.localSet:
          this.operands[i] = leb();
          if (!unreachable) this.#height--;
          break;
        case Op.localTee: {
          const local = leb();
          this.operands[i] = local;
          if (!unreachable) {
            this.#height--;
            this.#push(this.localTypes[local] as number, i);
          }
          break;
        }
        case Op.globalGet: {
          const type = module.globals[leb()]?.type ?? 0;
          if (!unreachable) this.#push(type, i);
          break;
        }
        case Op.globalSet:
          skipLeb();
          if (!unreachable) this.#height--;
          break;
        case Op.tableGet: {
          const type = module.tables[leb()]?.element ?? 0;
          if (!unreachable) {
            this.#height--;
            this.#push(type, i);
          }
          break;
        }
        case Op.tableSet:
          skipLeb();
          if (!unreachable) this.#height -= 2;
          break;
        case Op.memorySize:
          skipLeb();
          if (!unreachable) this.#push(ValueType.i32, i);
          break;
        case Op.memoryGrow:
          this.operands[i] = leb();
          if (!unreachable) {
            this.#height--;
            this.#push(ValueType.i32, i);
          }
          break;
        case Op.i32Const:
          skipLeb();
          if (!unreachable) this.#push(ValueType.i32, i);
          break;
        case Op.i64Const:
          skipLeb();
          if (!unreachable) this.#push(ValueType.i64, i);
          break;
        case Op.f32Const:
          position += 4;
          if (!unreachable) this.#push(ValueType.f32, i);
          break;
        case Op.f64Const:
          position += 8;
          if (!unreachable) this.#push(ValueType.f64, i);
          break;
        case Op.refNull: {
          const type = bytes[position++] as number;
          if (!unreachable) this.#push(type, i);
          break;
        }
        case Op.refIsNull:
          if (!unreachable) {
            this.#height--;
            this.#push(ValueType.i32, i);
          }
          break;
        case Op.refFunc:
          this.operands[i] = leb();
          if (!unreachable) this.#push(ValueType.funcref, i);
          break;
        case Op.prefixMisc: {
          const sub = leb();
          if (sub >= Misc.memoryInit) {
            this.operands[i] = leb();
            const pair =
              sub === Misc.memoryInit || sub === Misc.memoryCopy || sub === Misc.tableInit || sub === Misc.tableCopy;
            if (pair) skipLeb();
          }
          if (!unreachable) this.#miscEffect(sub, i);
          break;
        }
        case Op.prefixSimd: {
          const sub = leb();
          if (sub <= 11 || sub === 92 || sub === 93) skipMemarg();
          else if (sub === 12 || sub === 13) position += 16;
          else if (sub >= 21 && sub <= 34) position++;
          else if (sub >= 84 && sub <= 91) {
            skipMemarg();
            position++;
          }
          if (!unreachable) this.#effect(SIMD, sub, i);
          break;
        }
        case Op.prefixAtomic: {
          const sub = leb();
          if (sub === 3) position++;
          else skipMemarg();
          if (!unreachable) this.#effect(ATOMIC, sub, i);
          break;
        }
        default:
          refuseOpcode(opcode, position - 1);
      }
    }
    this.positions[count] = position;
    this.instructionCount = count;
  }

  #controlLists(): unknown[][] {
    return [
      ...[this.#controlOpcode, this.#controlStart, this.#controlHeight, this.#controlDead],
      ...[this.#controlType, this.#controlCost, this.#controlSection],
    ];
  }

  /** Pops the innermost block; says whether what follows is unreachable. */
  #close(i: number, opcode: number): boolean {
    const blockOpcode = this.#controlOpcode.pop();
    const start = this.#controlStart.pop() as number;
    const height = this.#controlHeight.pop() as number;
    const isDead = this.#controlDead.pop() as boolean;
    const blockType = this.#controlType.pop() as number;
    const cost = this.#controlCost.pop() as number;
    this.#controlSection.pop();
    this.partners[i] = start;
    if (start >= 0) this.partners[start] = i;
    this.dead[i] = isDead ? 1 : 0;
    this.arms[i] = 0;
    if (this.#controlStart.length === 0) return isDead;
    if (!isDead) {
      this.#height = height;
      this.#pushAll(this.blockResults(blockType), i, false);
    }
    this.loopCosts[i] = cost;
    const isOwn = blockOpcode === Op.loop || opcode === Op.delegate;
    this.#raiseCost(isOwn ? Math.max(cost, LoopCost.nested) : cost);
    return isDead;
  }

  #effect(table: { pops: Uint8Array; pushes: Uint8Array }, opcode: number, i: number): void {
    this.#height -= table.pops[opcode] as number;
    const type = table.pushes[opcode] as number;
    if (type !== 0) this.#push(type, i);
  }

  #miscEffect(sub: number, i: number): void {
    if (sub < Misc.memoryInit) {
      this.#height--;
      this.#push(sub < 4 ? ValueType.i32 : ValueType.i64, i);
    } else if (sub === Misc.tableGrow) {
      this.#height -= 2;
      this.#push(ValueType.i32, i);
    } else if (sub === Misc.tableSize) this.#push(ValueType.i32, i);
    else if (sub !== Misc.dataDrop && sub !== Misc.elemDrop) this.#height -= 3;
  }

  #tagParams(tag: number): readonly ValueType[] {
    return (this.module.types[this.module.tags[tag] as number] as FunctionType).params;
  }

  /** Gives the sections that rethrow, and that a site lies in, locals for the exception they caught. */
  #keepCaughtExceptions(): void {
    for (const section of this.#rethrownSections) {
      if (!this.sites.some((site) => site.catchSections.includes(section))) continue;
      const all = this.opcodes[section] === Op.catchAll;
      const tags = all ? this.module.tags.map((_, tag) => tag) : [this.operands[section] as number];
      const payloads = new Map(tags.map((tag) => [tag, this.#tagParams(tag).map((type) => this.addLocal(type))]));
      this.caughtExceptions.set(section, { which: all ? this.addLocal(ValueType.i32) : undefined, payloads });
    }
  }

  /** The locals that hold the exceptions of the catch sections around a site. */
  caughtLocals(site: Site): number[] {
    const locals: number[] = [];
    for (const section of site.catchSections) {
      const caught = this.caughtExceptions.get(section);
      if (caught === undefined) continue;
      if (caught.which !== undefined) locals.push(caught.which);
      for (const payload of caught.payloads.values()) locals.push(...payload);
    }
    return locals;
  }
}
