/** The blocks around an instruction while a function is analysed, outermost first. */
import { LoopCost } from "./sites.js";

export interface ControlFrame {
  opcode: number;
  /** Instruction index; -1 for the function's body. */
  start: number;
  /** Operand stack height at its start, parameters not counted. */
  height: number;
  /** Whether it stands in unreachable code. */
  isDead: boolean;
  blockType: number;
  /** What happens inside, inner blocks included: a LoopCost. */
  cost: number;
  /** The catch instruction of the section that is open, or -1. */
  section: number;
}

/** Frames are reused: one is valid until another is opened at its depth. */
export class ControlStack {
  readonly #frames: ControlFrame[] = [];
  #depth = 0;

  get isEmpty(): boolean {
    return this.#depth === 0;
  }

  clear(): void {
    this.#depth = 0;
  }

  open(opcode: number, start: number, height: number, isDead: boolean, blockType: number): void {
    const frame = this.#frames[this.#depth++];
    if (frame === undefined) {
      this.#frames.push({ opcode, start, height, isDead, blockType, cost: LoopCost.plain, section: -1 });
      return;
    }
    frame.opcode = opcode;
    frame.start = start;
    frame.height = height;
    frame.isDead = isDead;
    frame.blockType = blockType;
    frame.cost = LoopCost.plain;
    frame.section = -1;
  }

  close(): ControlFrame {
    return this.#frames[--this.#depth] as ControlFrame;
  }

  innermost(): ControlFrame {
    return this.#frames[this.#depth - 1] as ControlFrame;
  }

  /** The frame that a label leads to; undefined: there is none. */
  target(label: number): ControlFrame | undefined {
    return this.#frames[this.#depth - 1 - label];
  }

  raiseCost(cost: number): void {
    const frame = this.innermost();
    if (frame.cost < cost) frame.cost = cost;
  }

  /** The open catch sections, outermost first. */
  sections(): number[] {
    const sections: number[] = [];
    for (let i = 0; i < this.#depth; i++) {
      const { section } = this.#frames[i] as ControlFrame;
      if (section >= 0) sections.push(section);
    }
    return sections;
  }
}
