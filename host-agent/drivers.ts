import { randomBytes, randomUUID } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { HostConfig } from "./config.ts";
import { connectDocker, type Docker, dockerContainers } from "./containers/index.ts";
import { createFirewall, createUfw, type HostFirewall, hostRun, parsePerimeter, type Wall } from "./firewall/index.ts";
import type { Log } from "./log.ts";
import { createImages, imageRef } from "./runtimes/images.ts";
import { runtimes } from "./runtimes/index.ts";
import { createCopies, createVolumes } from "./storage/index.ts";
import type { Ports } from "./tenants/index.ts";
import type { Routes } from "./tenants/ports.ts";

export interface HostPorts extends Ports {
  firewall: HostFirewall;
  docker: Docker;
  /** Every wall that this host keeps itself, outermost first. */
  walls: readonly Wall[];
}

/** 256 random bits that stay on this host, made at the first start. */
function hostKey(path: string): Buffer {
  if (!existsSync(path)) {
    const temporary = `${path}.${randomUUID()}`;
    writeFileSync(temporary, randomBytes(32), { mode: 0o600, flush: true });
    renameSync(temporary, path);
  }
  return readFileSync(path);
}

/** The real host behind the lifecycle's ports. */
export function hostPorts(config: HostConfig, hostId: string, routes: Routes, log: Log): HostPorts {
  const { dockerSocket, resolvers, pool, stateDir } = config;
  const docker = connectDocker({ socketPath: dockerSocket });
  const containers = dockerContainers({
    docker,
    hostId,
    resolvers,
    imageRef,
    log: (line) => log.warn("docker", { line }),
  });
  const firewall = createFirewall({ inputs: { pool, resolvers } });
  const perimeter = config.perimeter && parsePerimeter(config.perimeter);
  return {
    routes,
    walls: perimeter?.ok ? [createUfw(perimeter.openings, hostRun()), firewall] : [firewall],
    docker,
    containers,
    volumes: createVolumes(config),
    copies: createCopies(config),
    firewall,
    runtimes: runtimes({
      tokenKey: hostKey(join(stateDir, "runtime-token.key")),
      isRunning: async (tenantId) => (await containers.find(tenantId))?.running === true,
    }),
    images: createImages({ stateDir, docker, cacheDir: config.imageCacheDir }),
  };
}
