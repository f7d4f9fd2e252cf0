import { beforeEach, describe, expect, it } from "vitest";
import type { PostureView } from "../tenants/types.ts";
import { agentView } from "./in-memory.ts";
import { driftWords, verdictOf } from "./posture-rules.ts";
import { ID, type Visit, visit } from "./visiting.ts";

type Attack = PostureView["attacks"][number];
const attack = (id: string, layer: number, outcome: Attack["outcome"], evidence = "EPERM"): Attack => ({
  ...{ id, layer, from: "inside", source: "CIS Docker 5.4", tries: `try ${id}`, outcome, evidence },
  held: outcome === "held",
});
const posture = (attacks: Attack[], drift: PostureView["drift"] = { iptables: 0 }): PostureView => ({
  ...{ at: "2026-11-22T09:02:11.123Z", tookMs: 8_400, held: 0, breached: 0, unproven: 0, notManaged: 0 },
  gates: [{ name: "docker", have: "20.10.24", need: ">= 29.5.1", ok: false }],
  ...{ attacks, drift },
});

describe("what is said of a wall", () => {
  const of = (...outcomes: Attack["outcome"][]) => verdictOf(outcomes.map((outcome) => ({ outcome })));
  it("is the worst that was seen", () => {
    expect(of("held", "held")).toEqual({ tone: "good", sentence: "2 of 2 attacks held" });
    expect(of("held", "unproven")).toEqual({ tone: "bad", sentence: "1 of 2 attacks could not be tried" });
    expect(of("held", "unproven", "breached")).toEqual({ tone: "bad", sentence: "1 of 3 attacks got through" });
  });
  it("is never that it held where nobody tried, and leaves out what is not kept here", () => {
    expect(of().tone).toBe("calm");
    expect(of("not_managed")).toEqual({ tone: "calm", sentence: "not kept by this server" });
    expect(of("held", "not_managed").sentence).toBe("1 of 1 attacks held");
  });
  it("counts changes of all walls together, and says nothing where nobody counted", () => {
    expect(driftWords(null)).toBeNull();
    expect(driftWords({ ufw: 0, iptables: 0 })).toMatch(/^Nobody has changed/);
    expect(driftWords({ ufw: 1, iptables: 2 })).toContain("found changed 3 times");
  });
});

describe("the owner's pages", () => {
  let ada: Visit;
  beforeEach(() => {
    ada = visit();
    ada.own();
  });
  const text = async (path: string) => (await ada.get(path)).text();

  it("say what the last attacks on each wall came to, and how often walls were put back", async () => {
    const rows = [attack("ufw", 2, "not_managed"), attack("mail", 3, "held"), attack("mount", 4, "breached", "done")];
    ada.world.postures.set(ID, posture(rows, { iptables: 2 }));
    const html = await text(`/agents/${ID}`);
    expect(html).toMatch(/Moat<\/strong>.*state good verdict">1 of 1 attacks held/);
    expect(html).toMatch(/Cell<\/strong>.*state bad verdict">1 of 1 attacks got through/);
    expect(html).toMatch(/Rampart<\/strong>.*state calm verdict">not kept by this server/);
    expect(html).toContain("found changed 2 times");
    expect(html).toContain(`href="/agents/${ID}/walls"`);
  });

  it("name every attack with what was seen, the breached wall laid open", async () => {
    ada.world.postures.set(
      ID,
      posture([attack("mail", 3, "held", "silent; 0 arrived"), attack("mount", 4, "breached", "<b>done</b>")]),
    );
    const html = await text(`/agents/${ID}/walls`);
    expect(html).toContain("silent; 0 arrived");
    expect(html).toContain("&lt;b&gt;done&lt;/b&gt;");
    expect(html.match(/<details class="attacks"( open="")?>/g)).toEqual([
      '<details class="attacks">',
      '<details class="attacks" open="">',
    ]);
    expect(html).toContain("needs &gt;= 29.5.1");
  });

  it("promise nothing before the first attack", async () => {
    expect(await text(`/agents/${ID}`)).toContain("has not attacked its own walls yet");
    expect(await text(`/agents/${ID}/walls`)).toContain("has not attacked its own walls yet");
  });

  it("are nobody else's", async () => {
    ada.world.postures.set(ID, posture([attack("mail", 3, "held")]));
    expect((await ada.get(`/agents/${ID}/walls`, {})).status).toBe(303);
    ada.world.agents.set(ID, { ...agentView(), ownerId: "usr_other" });
    const answer = await ada.get(`/agents/${ID}/walls`);
    expect(answer.status).toBe(404);
    expect(await answer.text()).not.toContain("attacks held");
  });
});
