import { newId } from "../../schema/protocol/index.ts";
import { type AgentLab, whole } from "../system/agent-lab.ts";
import { judge, reach, runs } from "./judge.ts";
import { tell } from "./kills.ts";
import { commandOf, type Word } from "./stories.ts";
import { emptyTally, insist, type Tally } from "./tally.ts";

const TEN_MINUTES_MS = 600_000;

/**
 * The host's clock is ten minutes off, and then right again: what is in time by the edge's clock is refused, with the
 * diagnosis in the log, and no envelope that was once accepted, or has once expired, ever does anything again.
 */
export async function clockOff(lab: AgentLab): Promise<Tally> {
  const tally = emptyTally("clock ten minutes off");
  for (const [aheadMs, diagnosis] of [
    [TEN_MINUTES_MS, "expired"],
    [-TEN_MINUTES_MS, "not_yet_valid"],
  ] as const) {
    const id = newId("tnt");
    await lab.start();
    const first = await lab.edge.sign(await commandOf(lab, id, runs));
    const accepted = (await lab.edge.deliver(lab.socketPath, first))?.status === "accepted";
    await insist(`${id} running`, () => lab.has(id, "running", 1));
    // Made now, never delivered in time: it would stop the agent if a clock that is behind let it in.
    const missed = await lab.edge.sign(await commandOf(lab, id, { generation: 2, wish: "stopped" }));
    await reach(lab, id, { generation: 3, restarts: 1 });
    const container = await containerOf(lab, id);
    await lab.kill("SIGTERM");

    const from = lab.log().length;
    await lab.start({ clockAheadMs: aheadMs });
    const word = await commandOf(lab, id, { generation: 4, restarts: 2 });
    const refused = (await lab.edge.command(lab.socketPath, word)) === null;
    const logged = lab.log().slice(from);
    const told = logged.includes(`command.refused reason=${diagnosis}`) && logged.includes("by this host's clock");
    // By a clock that is wrong an old word looks fresh; the journal knows better.
    const hostMs = Date.now() + aheadMs;
    const backdated = await lab.edge.sign(await commandOf(lab, id, { generation: 2, wish: "stopped" }), hostMs);
    const answers = [await show(lab, backdated, hostMs), await show(lab, missed, hostMs)];
    const replays = [await show(lab, first, hostMs)];
    await lab.kill("SIGTERM");

    await lab.start();
    answers.push(await show(lab, missed), await show(lab, backdated));
    replays.push(await show(lab, first));
    // What was carried out once gets its stored answer, or none; everything else is refused.
    const noWindow = !answers.includes("accepted") && !replays.includes("already_applied");
    const quiet = lab.has(id, "running", 3) && (await containerOf(lab, id)) === container;
    const last: Word = { generation: 4, restarts: 2 };
    await tell(lab, id, last);
    await judge(lab, tally, id, { last, left: whole });
    if (!(accepted && refused && told && noWindow && quiet)) {
      throw new Error(`clock ${aheadMs} ms: ${JSON.stringify({ accepted, refused, told, answers, replays, quiet })}`);
    }
    await lab.kill("SIGTERM");
  }
  return tally;
}

/** Which process it is: another start is another one. */
async function containerOf(lab: AgentLab, id: string): Promise<string> {
  const format = ["--format", "{{.Id}} {{.State.StartedAt}}"];
  return lab.host.run("docker", ["-H", `unix://${lab.host.dockerSocket}`, "inspect", ...format, `chelar-${id}`]);
}

/** What the host says to an envelope that it is shown again. */
async function show(lab: AgentLab, compact: string, hostMs?: number): Promise<string | null> {
  const outcome = await lab.edge.deliver(lab.socketPath, compact, hostMs);
  return outcome === null ? null : outcome.status;
}
