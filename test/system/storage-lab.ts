import { randomBytes } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { createVolumes } from "../../host-agent/storage/index.ts";
import { type TenantLayout, tenantLayout } from "../../host-agent/tenants/layout.ts";
import { newId } from "../../schema/protocol/index.ts";
import { createTestHost } from "../hosts/index.ts";

const MIB = 2 ** 20;
export const QUOTA_MIB = 64;

/** A host with volumes on btrfs, and tenants that have a place and a key, but nothing in it yet. */
export async function storageLab() {
  const host = await createTestHost({ docker: false });
  const stateDir = `${host.dir}/chelar`;
  await mkdir(stateDir);
  const volumes = createVolumes({ stateDir, storage: { backing: "btrfs", sizeMiB: 1_024 } });
  const layouts: TenantLayout[] = [];
  const keys = new Map<string, string>();
  const keyOf = ({ tenantId }: TenantLayout) => keys.get(tenantId) ?? "";

  return {
    host,
    stateDir,
    volumes,
    keyOf,
    newLayout(): TenantLayout {
      const slot = layouts.length;
      const places = { pool: "10.213.0.0/16", stateDir, runDir: `${host.dir}/run` };
      const layout = tenantLayout({ tenantId: newId("tnt"), uid: 300_000 + slot, slot, ...places });
      keys.set(layout.tenantId, randomBytes(32).toString("base64url"));
      layouts.push(layout);
      return layout;
    },
    open: (layout: TenantLayout) => volumes.open(layout, { diskMiB: QUOTA_MIB, key: keyOf(layout) }),
    async end(): Promise<void> {
      for (const layout of layouts) await volumes.close(layout);
      await host.destroy();
    },
  };
}
export type StorageLab = Awaited<ReturnType<typeof storageLab>>;

/** How often a text stands in a file, read block by block from below its own file system. */
export function occurrences(path: string, text: string): number {
  const file = openSync(path, "r");
  const block = Buffer.alloc(16 * MIB);
  let [found, at] = [0, 0];
  for (;;) {
    const bytes = readSync(file, block, 0, block.length, at);
    for (
      let hit = block.subarray(0, bytes).indexOf(text);
      hit >= 0;
      hit = block.subarray(0, bytes).indexOf(text, hit + 1)
    ) {
      found += 1;
    }
    if (bytes < block.length) break;
    // What lies across two blocks is seen with the second one.
    at += bytes - text.length;
  }
  closeSync(file);
  return found;
}
