import type { HostConfig } from "./config.ts";
import { connectDocker, type Docker, dockerContainers } from "./containers/index.ts";
import { createFirewall, type HostFirewall } from "./firewall/index.ts";
import type { Log } from "./log.ts";
import { createImages, imageRef } from "./runtimes/images.ts";
import { runtimes } from "./runtimes/index.ts";
import { directoryVolumes } from "./storage/index.ts";
import type { Ports } from "./tenants/index.ts";
import type { Routes } from "./tenants/ports.ts";

export interface HostPorts extends Ports {
  firewall: HostFirewall;
  docker: Docker;
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
  return {
    routes,
    docker,
    containers,
    volumes: directoryVolumes(),
    firewall: createFirewall({ inputs: { pool, resolvers } }),
    runtimes: runtimes({ isRunning: async (tenantId) => (await containers.find(tenantId))?.running === true }),
    images: createImages({ stateDir, docker, cacheDir: config.imageCacheDir }),
  };
}
