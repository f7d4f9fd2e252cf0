/**
 * How Node runs the agent, wherever it is started. `node:sqlite` still calls itself an experiment. With V8's own measure of
 * young objects (16 MiB, thrice) an agent with 500 sleepers keeps 50 MiB more for what is garbage already.
 */
export const NODE_FLAGS = ["--disable-warning=ExperimentalWarning", "--max-semi-space-size=1"] as const;
