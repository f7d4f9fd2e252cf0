import type { Person } from "../accounts/index.ts";
import type { World } from "../clock.ts";
import type { Database, Statement } from "../db.ts";
import { good, type Result, refuse } from "../problem.ts";
import { describeRefusal, isOwnersName, parseSecret } from "../vault/rules.ts";
import { deleteSecret, listSecrets, type Vault } from "../vault/service.ts";
import type { TenantRow } from "./rules.ts";
import { insertAudit } from "./store.ts";
import type { Background, SecretView } from "./types.ts";

/** What an owner does with keys. A value goes in and never comes out; every look and every change is in the audit. */
export interface SecretService {
  secrets(person: Person, id: string): Promise<Result<SecretView[]>>;
  secret(person: Person, id: string, name: string): Promise<Result<SecretView>>;
  /** A new generation carries it to the agent, which is started again with it. */
  putSecret(person: Person, id: string, name: string, value: string, later: Background): Promise<Result<SecretView>>;
  /** Removing what is not there is success, and changes nothing. */
  removeSecret(person: Person, id: string, name: string, later: Background): Promise<Result<null>>;
}

interface Parts {
  db: Database;
  world: World;
  vault: Vault;
  owned(person: Person, id: string): Promise<Result<{ tenant: TenantRow }>>;
  /** Runs `plan` and commits its statements with a new generation; null when there is nothing to change. */
  changeAlong<T>(change: {
    person: Person;
    id: string;
    later: Background;
    plan(row: TenantRow, at: number): Promise<Result<{ value: T; statements: Statement[] | null }>>;
  }): Promise<Result<T>>;
}

export function createSecretService({ db, world, vault, owned, changeAlong }: Parts): SecretService {
  const known = async (tenantId: string) => (await listSecrets(db, tenantId)).filter(({ name }) => isOwnersName(name));
  const audited = (action: string, person: Person, subject: string, detail: object, at = world.now()) =>
    insertAudit(db, { at, actor: person.id, action, subject, detail: JSON.stringify(detail) });

  return {
    async secrets(person, id) {
      const record = await owned(person, id);
      if (!record.ok) return record;
      const rows = await known(id);
      await audited("secret.read", person, id, { names: rows.map(({ name }) => name) });
      return good(rows.map(secretViewOf));
    },

    async secret(person, id, name) {
      const record = await owned(person, id);
      if (!record.ok) return record;
      const row = (await known(id)).find((one) => one.name === name);
      if (!row) return refuse("not_found");
      await audited("secret.read", person, id, { names: [name] });
      return good(secretViewOf(row));
    },

    async putSecret(person, id, name, value, later) {
      const parsed = parseSecret(name, value);
      if (!parsed.ok) return refuse("invalid_secret", { field: "value", detail: describeRefusal(parsed.refusal) });
      return changeAlong({
        ...{ person, id, later },
        async plan(_row, at) {
          const before = (await listSecrets(db, id)).find((secret) => secret.name === name);
          const version = (before?.version ?? 0) + 1;
          const values = [{ name, version, secret: parsed.secret }];
          const sealed = await vault.seal({ tenantId: id, by: person.id, at, values });
          const [row] = sealed?.rows ?? [];
          if (!sealed || !row) return refuse("tenant_deleting");
          const statements = [...sealed.statements, audited("secret.write", person, id, { name, version }, at)];
          return good({ value: secretViewOf(row), statements });
        },
      });
    },

    async removeSecret(person, id, name, later) {
      return changeAlong({
        ...{ person, id, later },
        async plan(_row, at) {
          const row = (await known(id)).find((one) => one.name === name);
          if (!row) return good({ value: null, statements: null });
          const audit = audited("secret.delete", person, id, { name, version: row.version }, at);
          return good({ value: null, statements: [deleteSecret(db, id, name), audit] });
        },
      });
    },
  };
}

type Listed = Awaited<ReturnType<typeof listSecrets>>[number];

const secretViewOf = ({ name, version, lastFour, createdAt, createdBy, deliveredAt }: Listed): SecretView => ({
  ...{ name, version, lastFour, changedAt: new Date(createdAt).toISOString(), changedBy: createdBy },
  deliveredAt: deliveredAt === null ? null : new Date(deliveredAt).toISOString(),
});
