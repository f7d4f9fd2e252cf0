import { parseArgs } from "node:util";
import { type ListedHost, openOperator } from "./operator.ts";
import { defaultDir } from "./running.ts";
import { Refusal } from "./system.ts";

const USAGE = `usage:
  npm run host -- add root@ADDRESS [options]     a bare Debian server becomes a host
      --name NAME --region REGION                how it is called (default: from the address), where it is (default: local)
      --port PORT --key FILE                     SSH; without --key the keys of ssh-agent are used
      --fingerprint SHA256:…                     the server's host key, as its console shows it
      --edge URL                                 the edge, as both you and the server reach it
      --endpoint URL                             the host's ingress, as the edge reaches it (default: its address)
      --admin-network CIDR                       who may reach its SSH, repeatable (default: the address you come from)
      --resolver ADDRESS                         name servers of agents, repeatable (default: the server's own)
      --prebuild RUNTIME                         images made at once, repeatable (default: echo, openclaw)
      --cloud hetzner --cloud-server ID          sets the provider's firewall too; HCLOUD_TOKEN in the environment
  npm run host -- walls --cloud PROVIDER --admin-network CIDR
                                                 the first wall as JSON for hetzner, aws, gcp or digitalocean; with
      --cloud-server ID [--repair]               a server at Hetzner: what differs there, and the repair
  npm run host -- list | show HOST               HOST is a name or an id; --json for machines
  npm run host -- drain | reopen | remove HOST   no new agents; agents again; forget an empty host
  npm run host -- remove HOST --lost             forget one that will never come back, with what it holds: deletions end,
                                                 and their receipts say what is not proven
  npm run host -- names                          one DNS record for each agent, as lines of a zone; --json for machines
  npm run host -- alerts                         what needs you; --json for machines
  npm run host -- stranger HOST AGENT --purge    destroy an agent that the edge has never heard of, for good
  npm run host -- rotate-keys [--force]          a new key for the edge's commands; --force leaves hosts behind that do
      --wait SECONDS                             not answer in time (default: 180). Safe to run again at any point`;

/** Verbs without a host. */
const ALONE = new Set(["list", "names", "alerts", "rotate-keys", "walls"]);

const OPTIONS = {
  json: { type: "boolean", default: false },
  edge: { type: "string" },
  dir: { type: "string", default: defaultDir },
  name: { type: "string" },
  region: { type: "string", default: "local" },
  port: { type: "string", default: "22" },
  key: { type: "string" },
  fingerprint: { type: "string" },
  endpoint: { type: "string" },
  "admin-network": { type: "string", multiple: true },
  cloud: { type: "string" },
  "cloud-server": { type: "string" },
  repair: { type: "boolean", default: false },
  resolver: { type: "string", multiple: true },
  purge: { type: "boolean", default: false },
  lost: { type: "boolean", default: false },
  force: { type: "boolean", default: false },
  wait: { type: "string", default: "180" },
  prebuild: { type: "string", multiple: true, default: ["echo", "openclaw"] as string[] },
} as const;

const parse = (args: string[]) => parseArgs({ args, options: OPTIONS, strict: true, allowPositionals: true });
export type HostOptions = ReturnType<typeof parse>["values"];

/** `npm run host -- VERB …`: resolves with the exit code. */
export async function hostCommand(args: string[]): Promise<number> {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(args);
  } catch (error) {
    throw new Refusal(`${(error as Error).message}\n${USAGE}`);
  }
  const { values, positionals } = parsed;
  const [verb, subject, ...more] = positionals;
  const wants = ALONE.has(verb ?? "") ? 1 : verb === "stranger" ? 3 : 2;
  if (positionals.length !== wants) throw new Refusal(USAGE);
  switch (verb) {
    case "add": {
      const { addHost } = await import("./host-add.ts");
      return addHost(subject ?? "", values);
    }
    case "walls": {
      const { wallsCommand } = await import("./cloud-walls.ts");
      return wallsCommand(values);
    }
    case "list":
      return listHosts(values);
    case "names":
      return listNames(values);
    case "alerts":
      return listAlerts(values);
    case "rotate-keys":
      return rotate(values);
    case "stranger":
      return purgeStranger(subject ?? "", more[0] ?? "", values);
    case "show":
      return showHost(subject ?? "", values);
    case "drain":
    case "reopen":
    case "remove":
      return changeHost(subject ?? "", verb === "remove" && values.lost ? "abandon" : verb, values);
    default:
      throw new Refusal(USAGE);
  }
}

async function purgeStranger(subject: string, tenantId: string, values: HostOptions): Promise<number> {
  if (!values.purge) {
    throw new Refusal(`this destroys the agent's data for good: say so with --purge. Nothing was done.\n${USAGE}`);
  }
  const host = await find(subject, values);
  await operatorOf(values).purgeStranger(host.id, tenantId);
  console.log(`${host.name} destroys ${tenantId}. It is in the audit.`);
  return 0;
}

/** A wildcard leads to one host; whoever has several gives each agent's name a record of its own. */
async function listNames(values: HostOptions): Promise<number> {
  const names = await operatorOf(values).names();
  if (values.json) console.log(JSON.stringify({ names }, null, 2));
  for (const { hostname, endpoint } of values.json ? [] : names) {
    console.log(`${hostname}. 60 IN CNAME ${new URL(endpoint).hostname}.`);
  }
  return 0;
}

async function listAlerts(values: HostOptions): Promise<number> {
  const alerts = await operatorOf(values).alerts();
  if (values.json) console.log(JSON.stringify({ alerts }, null, 2));
  else if (alerts.length === 0) console.log("Nothing needs you.");
  for (const { kind, subject, detail, times, firstAt, lastAt } of values.json ? [] : alerts) {
    console.log(`${kind}  ${subject}\n  ${detail}\n  ${times} times, first ${firstAt}, last ${lastAt}`);
  }
  return alerts.length > 0 ? 1 : 0;
}

async function rotate(values: HostOptions): Promise<number> {
  const waitSeconds = Number(values.wait);
  if (!Number.isInteger(waitSeconds) || waitSeconds < 1) {
    throw new Refusal(`--wait takes a number of seconds, not ${JSON.stringify(values.wait)}.`);
  }
  const { rotateKeys } = await import("./rotate-keys.ts");
  // Named with --edge, it is somewhere else, and its secrets are not ours to write.
  const isLocal = values.edge === undefined;
  return rotateKeys(operatorOf(values), { dir: values.dir, isLocal, force: values.force, waitSeconds });
}

const operatorOf = (values: HostOptions) => openOperator({ dir: values.dir, edge: values.edge ?? null });

async function listHosts(values: HostOptions): Promise<number> {
  const { hosts } = await operatorOf(values).list();
  if (values.json) console.log(JSON.stringify({ hosts }, null, 2));
  else if (hosts.length === 0) console.log("No host is enrolled.");
  else printTable(["NAME", "STATE", "REGION", "AGENTS", "MEMORY", "LAST REPORT", "ID"], hosts.map(row));
  return 0;
}

const row = (it: ListedHost): string[] => [
  it.name,
  it.state,
  it.region,
  `${it.inventory?.tenants.length ?? 0}/${it.capacity.tenants}`,
  `${(it.capacity.memoryMiB / 1024).toFixed(1)} GiB`,
  it.lastReportAt ?? "never",
  it.id,
];

async function showHost(subject: string, values: HostOptions): Promise<number> {
  const host = await find(subject, values);
  if (values.json) console.log(JSON.stringify(host, null, 2));
  else {
    const { capacity, images, inventory } = host;
    printTable(
      [],
      [
        ["name", host.name],
        ["id", host.id],
        ["state", `${host.state}, epoch ${host.epoch}`],
        ["region", host.region],
        ["endpoint", host.endpoint],
        [
          "capacity",
          `${capacity.tenants} agents, ${capacity.memoryMiB} MiB of memory, ${capacity.diskMiB} MiB of disk`,
        ],
        ["last report", host.lastReportAt ?? "never"],
        [
          "versions",
          Object.entries(inventory?.versions ?? {})
            .map(([name, version]) => `${name} ${version}`)
            .join(", "),
        ],
        ["images", images.map(({ runtime, state }) => `${runtime} ${state}`).join(", ")],
        ...(inventory?.tenants ?? []).map((it) => [
          "agent",
          `${it.tenantId} ${it.state} (generation ${it.generation})`,
        ]),
      ],
    );
  }
  return 0;
}

async function changeHost(
  subject: string,
  action: "drain" | "reopen" | "remove" | "abandon",
  values: HostOptions,
): Promise<number> {
  const host = await find(subject, values);
  const { state, tenants } = await operatorOf(values).change(host.id, action);
  if (values.json) console.log(JSON.stringify({ id: host.id, state, tenants }));
  else if (state === "removed") {
    console.log(
      `${host.name} is removed. The server itself was not touched: its agent's reports are refused from now on.`,
    );
    if (tenants > 0) console.log(`${tenants} agents were there: what is being deleted ends, the others can be moved.`);
  } else console.log(`${host.name} is ${state}, with ${tenants} agents.`);
  return 0;
}

async function find(subject: string, values: HostOptions): Promise<ListedHost> {
  const { hosts } = await operatorOf(values).list();
  const host = hosts.find(({ id, name }) => id === subject || name === subject);
  if (host) return host;
  throw new Refusal(
    `no host is called ${JSON.stringify(subject)}. There is: ${hosts.map(({ name }) => name).join(", ") || "none"}.`,
  );
}

function printTable(head: readonly string[], rows: readonly string[][]): void {
  const all = head.length > 0 ? [[...head], ...rows] : rows;
  const widths = (all[0] ?? []).map((_, column) => Math.max(...all.map((it) => (it[column] ?? "").length)));
  for (const it of all)
    console.log(
      it
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    );
}
