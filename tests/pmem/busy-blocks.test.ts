import { describe, expect, test } from "vitest";
import { BLOCK_PAGES, BusyBlocks } from "../../pmem/busy-blocks.js";

const MEMORY = 64 * BLOCK_PAGES * 4096;
const wholly = (block: number, count = 1) => ({ page: block * BLOCK_PAGES, count: count * BLOCK_PAGES });

/** For each save in turn whether block 3 stays unprotected, if the guest writes `pages(save)` of it; as the kernel would tell it. */
function saves(count: number, pages: (save: number) => number): string {
  const blocks = new BusyBlocks(MEMORY);
  let isProtected = true;
  let text = "";
  for (let save = 0; save < count; save++) {
    const found: number = isProtected ? pages(save) : BLOCK_PAGES;
    const runs = found === 0 ? [] : [{ page: 3 * BLOCK_PAGES, count: found }];
    isProtected = blocks.unprotected(runs).length === 0;
    text += isProtected ? "p" : ".";
  }
  return text;
}

describe("unprotected", () => {
  test("written at each save: longer and longer, and looked at in between", () => {
    expect(saves(40, () => BLOCK_PAGES)).toBe("p.p..p....p........p........p........p..");
  });

  test("nearly all of it: likewise; less: never", () => {
    expect(saves(6, () => 14)).toBe("p.p..p");
    expect(saves(20, () => 13)).toBe("p".repeat(20));
  });

  test("at every second save only: never", () => {
    expect(saves(20, (save) => (save % 2 === 0 ? BLOCK_PAGES : 0))).toBe("p".repeat(20));
    expect(saves(20, (save) => (save % 2 === 0 ? BLOCK_PAGES : 1))).toBe("p".repeat(20));
  });

  test("not any more: at most eight saves later it is protected, and two saves must find it busy again", () => {
    expect(saves(44, (save) => (save < 12 || save > 30 ? BLOCK_PAGES : 0))).toBe(
      "p.p..p....p........ppppppppppppp.p..p....p..".slice(0, 44),
    );
  });

  test("several runs in one block, one run over many blocks, and the last pages of the memory", () => {
    const blocks = new BusyBlocks(MEMORY);
    const parts = [
      { page: 5 * BLOCK_PAGES, count: 7 },
      { page: 5 * BLOCK_PAGES + 8, count: 7 },
      { page: 10 * BLOCK_PAGES + 1, count: 3 * BLOCK_PAGES },
      wholly(63),
    ];
    expect(blocks.unprotected(parts)).toEqual([]);
    expect(blocks.unprotected(parts)).toEqual([wholly(5), wholly(10, 3), wholly(63)]);
  });

  test("each block for itself", () => {
    const blocks = new BusyBlocks(MEMORY);
    blocks.unprotected([wholly(1)]);
    blocks.unprotected([wholly(1), wholly(2)]);
    expect(blocks.unprotected([wholly(1), wholly(2)])).toEqual([wholly(2)]);
  });
});
