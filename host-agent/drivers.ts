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
    runtimes: runtimes({ isRunning: async (tenantId) => (await containers.find(tenantId))?.running === true }),
    images: createImages({ stateDir, docker, cacheDir: config.imageCacheDir }),
  };
}
