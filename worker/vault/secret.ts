/**
 * A value that must not be seen. However it is printed, joined, serialised or inspected, it says `[secret]`; only
 * `reveal()` gives it away, so every place that does so can be found by that word.
 */
export class Secret {
  readonly #value: string;
  constructor(value: string) {
    this.#value = value;
  }
  reveal(): string {
    return this.#value;
  }
  /** What the owner is shown to recognise a key by; nothing of a short one. */
  lastFour(): string {
    return this.#value.length >= 12 ? this.#value.slice(-4) : "";
  }
  toString(): string {
    return "[secret]";
  }
  toJSON(): string {
    return "[secret]";
  }
  [Symbol.toPrimitive](): string {
    return "[secret]";
  }
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return "[secret]";
  }
}
