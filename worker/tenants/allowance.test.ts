import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Allowance, changesFor } from "./allowance.ts";
import { decideTransition, type TenantRow } from "./rules.ts";

const state = fc.constantFrom("running", "suspended", "stopped");
const rows = fc
  .array(fc.record({ desired: state, plan: fc.constantFrom("trial", "pro", "team") }), { maxLength: 6 })
  .map((some) =>
    some.map(
      (one, index) =>
        ({
          ...one,
          id: `tnt_${index}`,
          heldFrom: null,
          generation: 1,
          restarts: 0,
          observed: "running",
        }) as unknown as TenantRow,
    ),
  );
const allowance = fc.record<Allowance>({
  plan: fc.constantFrom("trial", "starter", "pro"),
  tenants: fc.integer({ min: 0, max: 6 }),
  remove: fc.boolean(),
});

const apply = (before: readonly TenantRow[], to: Allowance): TenantRow[] => {
  const changes = changesFor(before, to);
  return before.map((row) => ({ ...row, ...changes.find((change) => change.row === row)?.to }));
};
const wanted = (all: readonly TenantRow[]) => all.map(({ desired }) => desired);

describe("what an account allows", () => {
  it("is what its agents are afterwards: the oldest stay, the others are stopped, and doing it again changes nothing", () => {
    fc.assert(
      fc.property(rows, allowance, (before, to) => {
        const after = apply(before, to);
        for (const [index, row] of after.entries()) {
          const { desired } = before[index] as TenantRow;
          if (to.remove) expect(row.desired).toBe("deleted");
          else if (index < to.tenants) expect(row).toMatchObject({ desired, heldFrom: null, plan: to.plan });
          else expect(row).toMatchObject({ desired: "stopped", heldFrom: desired, plan: to.plan });
        }
        expect(changesFor(after, to)).toEqual([]);
      }),
    );
  });

  it("gives back what each owner wanted, after any number of lapses", () => {
    fc.assert(
      fc.property(rows, fc.array(allowance, { maxLength: 4 }), (before, lapses) => {
        const kept = lapses.map((lapse) => ({ ...lapse, remove: false }));
        const through = kept.reduce(apply, before);
        const paid = apply(through, { plan: "team", tenants: 6, remove: false });
        expect(wanted(paid)).toEqual(wanted(before));
        expect(paid.every(({ heldFrom }) => heldFrom === null)).toBe(true);
      }),
    );
  });

  it("raises the generation with every change, so that a late word cannot undo it", () => {
    fc.assert(
      fc.property(rows, allowance, (before, to) => {
        for (const change of changesFor(before, to)) expect(change.to.generation).toBe(change.row.generation + 1);
      }),
    );
  });

  it("lets the owner of a held agent do nothing that would run it", () => {
    fc.assert(
      fc.property(rows, (before) => {
        for (const row of apply(before, { plan: "pro", tenants: 0, remove: false })) {
          for (const wish of ["start", "restart"] as const) {
            expect(decideTransition(row, wish)).toEqual({ kind: "refused", reason: "payment_required" });
          }
          for (const wish of ["stop", "secret_changed", "delete"] as const) {
            const transition = decideTransition(row, wish);
            if (transition.kind === "change") expect(transition.to.desired).not.toBe("running");
          }
        }
      }),
    );
  });
});
