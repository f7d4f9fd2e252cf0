import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { connectDocker } from "../../host-agent/containers/index.ts";
import { imageRef } from "../../host-agent/runtimes/images.ts";
import { isBuilt, RUNTIMES, type RuntimeName, runtimeName } from "../../schema/protocol/index.ts";
import { findRunning } from "../running.ts";
import { bringPackages, Refusal } from "../system.ts";
import { journey } from "./journey.ts";
import { Recorder, Stopped } from "./recorder.ts";

const IMAGE_WAIT_S = 300;

/** `npm run journey`: against the stack of `npm run up` on this machine. Exit code 1 if any guarantee fails. */
export async function journeyCommand(options: { json: boolean; runtime: string }): Promise<number> {
  const runtime = runtimeName.safeParse(options.runtime);
  if (!runtime.success)
    throw new Refusal(`--runtime takes ${RUNTIMES.join(" or ")}, not ${JSON.stringify(options.runtime)}.`);
  const running = findRunning();
  if (runtime.data === "openclaw") await bringPackages("test", true); // its page is looked at in a real Chromium
  await imageMade(runtime.data, running.dockerSocket);
  const recorder = new Recorder(({ held, name, milliseconds, evidence }) => {
    const line = `${held ? "held  " : "FAILED"} ${String(milliseconds).padStart(7)} ms  ${name}\n${" ".repeat(19)}${evidence}`;
    if (options.json) console.error(line);
    else console.log(line);
  });
  try {
    await journey(
      {
        dashboard: running.dashboard,
        dockerSocket: running.dockerSocket,
        hostDir: running.hostDir,
        resolve: () => null,
        hostAddress: ownAddress(),
        ingressPort: running.ingress.port,
        answersFromHost: answersTcp,
        runtime: runtime.data,
        judgesTimes: true,
      },
      recorder,
    );
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
  }
  if (options.json)
    console.log(
      JSON.stringify({ runtime: runtime.data, steps: recorder.steps, failed: recorder.failed.length }, null, 2),
    );
  else console.log(`\n${recorder.steps.length - recorder.failed.length} held, ${recorder.failed.length} failed`);
  return recorder.failed.length === 0 ? 0 : 1;
}

/** A server makes each image once, beginning when it starts; nobody's agent is late because of it but the first one's. */
async function imageMade(runtime: RuntimeName, socketPath: string): Promise<void> {
  if (!isBuilt(runtime)) return;
  const docker = connectDocker({ socketPath });
  for (let waited = 0; waited < IMAGE_WAIT_S && !(await docker.imageExists(imageRef(runtime))); waited++) {
    if (waited === 0)
      console.error(`chelar: this server is still making its image of ${runtime}, which it does once …`);
    await sleep(1_000);
  }
}

/** An address of this machine other than loopback: what a container would try to reach the host by. */
function ownAddress(): string {
  const all = Object.entries(networkInterfaces()).flatMap(([name, list]) =>
    /^(lo|docker|chl|br-)/.test(name) ? [] : (list ?? []),
  );
  return all.find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1";
}

function answersTcp(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2_000 });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
    socket.once("timeout", () => end(false));
  });
}
