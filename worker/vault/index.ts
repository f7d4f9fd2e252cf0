export { type Envelope, type Keyring, openSecret, type SecretPlace, sealSecret } from "./envelope.ts";
export { describeRefusal, PROVIDERS, parseSecret } from "./providers.ts";
export { Secret } from "./secret.ts";
