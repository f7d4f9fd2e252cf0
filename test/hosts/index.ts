export { type BareServer, createBareServer } from "./bare-server.ts";
export { createTestHost, type TestHost, type TestHostOptions, UFW_DIRECTORIES } from "./host.ts";
export { internet, type Place, testRun } from "./network.ts";
