/** One guarantee that was looked at: what it says, whether it held, what was seen and how long it took. */
export interface Step {
  name: string;
  held: boolean;
  milliseconds: number;
  evidence: string;
}

/** Runs steps one after another, tells each as it ends, and keeps going only while later steps still mean something. */
export class Recorder {
  readonly steps: Step[] = [];
  readonly #tell: (step: Step) => void;
  constructor(tell: (step: Step) => void) {
    this.#tell = tell;
  }

  /** `look` returns the evidence, or throws with what was seen instead. Returns whether it held. */
  async step(name: string, look: () => Promise<string>): Promise<boolean> {
    const started = performance.now();
    let held = true;
    let evidence: string;
    try {
      evidence = await look();
    } catch (error) {
      held = false;
      evidence = (error as Error).message;
    }
    const step = { name, held, evidence, milliseconds: Math.round(performance.now() - started) };
    this.steps.push(step);
    this.#tell(step);
    return held;
  }

  /** For steps without which the rest is meaningless. */
  async must(name: string, look: () => Promise<string>): Promise<void> {
    if (!(await this.step(name, look))) throw new Stopped(name);
  }

  get failed(): Step[] {
    return this.steps.filter(({ held }) => !held);
  }
}

/** A step that everything after it needs did not hold. */
export class Stopped extends Error {}

export function insist(condition: unknown, seen: string): asserts condition {
  if (!condition) throw new Error(seen);
}
