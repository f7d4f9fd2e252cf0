export { type Envelope, newSalt, type SecretPlace, type TenantKeys, tenantKeys } from "./envelope.ts";
export { describeRefusal, type Keyring, PROVIDERS, parseKeyring, parseSecret, Secret } from "./rules.ts";
