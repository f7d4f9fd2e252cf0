import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loopSign } from "./loops.ts";
import { codeFrom, codeIn, type Heard, type Incoming, judge, type Known, pauseMs } from "./rules.ts";

const message = (more: Partial<Incoming> = {}): Incoming => ({
  ...{ updateId: "1", position: 1, conversation: "7", senderId: "7", isAutomaton: false, isPrivate: true, reply: null },
  ...{ text: "hello", sentAt: 10_000_000, ...more },
});
const known = (more: Partial<Known> = {}): Known => ({
  ...{ people: new Set(["7"]), isReplay: false, isStopped: false, bySender: 0, inConversation: 0, today: 0 },
  ...{ perDay: 100, before: [], digest: "d", pairing: { isOpen: false, isRight: false } },
  ...{ needsWords: false, ...more },
});

describe("judge", () => {
  it("takes nothing from anybody who is not on the list, whatever else is so", () => {
    const anything = fc.record({
      isStopped: fc.boolean(),
      bySender: fc.nat(50),
      inConversation: fc.nat(50),
      today: fc.nat(200),
      pairing: fc.record({ isOpen: fc.boolean(), isRight: fc.constant(false) }),
    });
    fc.assert(
      fc.property(anything, fc.string(), fc.boolean(), (more, text, isAutomaton) => {
        const verdict = judge(message({ senderId: "8", text, isAutomaton }), known(more));
        return verdict.kind === "refuse";
      }),
      { verbose: 1 },
    );
  });

  it.each([
    ["a replay", known({ isReplay: true }), "replayed"],
    ["a stopped conversation", known({ isStopped: true }), "stopped"],
    ["the twenty-first within a minute", known({ bySender: 20 }), "sender_limit"],
    ["the thirty-first of a conversation", known({ inConversation: 30 }), "conversation_limit"],
    ["the first above the day", known({ today: 100 }), "daily_limit"],
  ])("refuses %s", (_, it, why) => {
    expect(judge(message(), it)).toEqual({ kind: "refuse", why });
    expect(judge(message({ text: "x".repeat(8_193) }), known())).toEqual({ kind: "refuse", why: "too_long" });
    expect(judge(message(), known())).toEqual({ kind: "take" });
  });

  it("lets a code in where one is open, from a person alone with the bot, and nowhere else", () => {
    const open = known({ pairing: { isOpen: true, isRight: true } });
    const code = message({ senderId: "8", text: "ABCD-EFGH" });
    expect(judge(code, open)).toEqual({ kind: "pair" });
    for (const other of [{ isAutomaton: true }, { text: "ABCD-EFGH please" }]) {
      expect(judge({ ...code, ...other }, open)).toEqual({ kind: "refuse", why: "not_allowed" });
    }
    expect(judge(code, known({ pairing: { isOpen: false, isRight: true } }))).toMatchObject({ kind: "refuse" });
  });
});

/** What came before, newest first, as many gaps (milliseconds) ago. */
const earlier = (gaps: number[], more: (at: number) => Partial<Heard> = () => ({})): Heard[] => {
  let { sentAt } = message();
  return gaps.map((gap, at) => {
    sentAt -= gap;
    return { senderId: "7", sentAt, digest: `d${at}`, ...more(at) };
  });
};

describe("a loop", () => {
  it("is seen by its text, its cadence, or that it never pauses", () => {
    expect(loopSign(message({ isAutomaton: true }), "d", [])).toBe("automaton");
    expect(
      loopSign(
        message(),
        "d",
        earlier([3_000, 9_000, 4_000, 70_000], () => ({ digest: "d" })),
      ),
    ).toBe("repeats");
    expect(loopSign(message(), "d", earlier(Array.from({ length: 11 }, (_, at) => 30_000 + (at % 2) * 1_400)))).toBe(
      "steady",
    );
    expect(loopSign(message(), "d", earlier(Array.from({ length: 39 }, (_, at) => 5_000 + (at % 7) * 7_000)))).toBe(
      "no_pause",
    );
  });

  it("is not seen in a person, nor in a backlog that comes in one moment", () => {
    const person = [4_000, 31_000, 7_000, 220_000, 12_000, 3_000, 55_000, 8_000, 19_000, 2_000, 90_000];
    expect(loopSign(message(), "d", earlier([...person, ...person, ...person, ...person]))).toBeNull();
    expect(loopSign(message(), "d", earlier(Array.from({ length: 12 }, () => 0)))).toBeNull();
  });

  it("begins anew where somebody else has written in between", () => {
    const other = (at: number) => ({ digest: "d", ...(at === 2 && { senderId: "8" }) });
    expect(loopSign(message(), "d", earlier([3_000, 9_000, 4_000, 70_000], other))).toBeNull();
  });

  it("of any machine with one cadence is stopped within twelve messages", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1_000, max: 590_000 }),
        fc.array(fc.nat(1_400), { minLength: 11, maxLength: 11 }),
        (gap, jitter) => loopSign(message(), "d", earlier(jitter.map((more) => gap + more))) !== null,
      ),
      { verbose: 1 },
    );
  });
});

it("a code is read as it was made, however it is typed", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 8, maxLength: 8 }), (random) => {
      const code = codeFrom(random);
      return [code, code.toLowerCase(), code.replace("-", ""), ` /start ${code} `].every(
        (text) => codeIn(text) === code,
      );
    }),
    { verbose: 1 },
  );
  for (const text of ["", "hello", "ABCD-EFG", "ABCD-EFGHI", "ABCD-EFG0", "ABCD-EFGH\nmore"])
    expect(codeIn(text)).toBeNull();
});

it("pauses grow, and never beyond a quarter above ten minutes", () => {
  expect(pauseMs(0, 0)).toBe(750);
  expect(pauseMs(100, 1)).toBe(750_000);
});
