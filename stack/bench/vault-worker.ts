import { newSalt, tenantKeys } from "../../worker/vault/envelope.ts";
import type { Keyring } from "../../worker/vault/rules.ts";
import { Secret } from "../../worker/vault/secret.ts";

/** Runs inside workerd: `/<what>?n=…&size=…` does the thing n times, one after another, and answers when it is done. */
const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes));
const place = { name: "ANTHROPIC_API_KEY", version: 1 };
const importKey = (bytes: Uint8Array<ArrayBuffer>) =>
  crypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
type Key = Awaited<ReturnType<typeof importKey>>;

async function bare(plain: Uint8Array<ArrayBuffer>, keyOf: () => Promise<Key> | Key): Promise<void> {
  const iv = random(12);
  const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, await keyOf(), plain);
  const opened = await crypto.subtle.decrypt({ name: "AES-GCM", iv }, await keyOf(), sealed);
  if (opened.byteLength !== plain.length) throw new Error("not what was sealed");
}

const work: Readonly<Record<string, (n: number, text: string) => Promise<void>>> = {
  /** As a creation seals and a delivery opens: the tenant's keys are derived once, each value has its own data key. */
  async vault(n, text) {
    const ring: Keyring = { current: 1, floor: 1, keys: new Map([[1, random(32)]]) };
    const keys = tenantKeys(ring, "tnt_bench", newSalt(random));
    for (let time = 0; time < n; time++) {
      const opened = await keys.open(await keys.seal(new Secret(text), place, random), place);
      if (!opened.ok || opened.secret.reveal().length !== text.length) throw new Error("not what was sealed");
    }
  },
  /** Bare, and each value has a key of its own, which is there where it is sealed and where it is opened. */
  async bare(n, text) {
    const plain = new TextEncoder().encode(text);
    for (let time = 0; time < n; time++) {
      const bytes = random(32);
      await bare(plain, () => importKey(bytes));
    }
  },
  /** Bare, and one key for all values, imported once: nothing that could be rotated or erased. */
  async bareOneKey(n, text) {
    const plain = new TextEncoder().encode(text);
    const key = await importKey(random(32));
    for (let time = 0; time < n; time++) await bare(plain, () => key);
  },
};

export default {
  async fetch(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    await work[pathname.slice(1)]?.(Number(searchParams.get("n")), "k".repeat(Number(searchParams.get("size"))));
    return new Response("done");
  },
};
