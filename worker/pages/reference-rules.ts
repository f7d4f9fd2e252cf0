/** What the reference needs of an OpenAPI 3.1 document. */
export interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  description?: string;
  maxLength?: number;
  default?: unknown;
}
export interface Parameter {
  name: string;
  in: "path" | "query" | "header";
  required?: boolean;
  description?: string;
  schema?: Schema;
}
export interface Operation {
  operationId: string;
  tags?: string[];
  security?: Record<string, string[]>[];
  parameters?: Parameter[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, { description?: string; content?: Record<string, { schema: Schema }> }>;
}
export interface Reference {
  paths?: Record<string, Record<string, Operation>>;
  components?: { schemas?: Record<string, Schema> };
}

export interface Entry {
  method: string;
  path: string;
  operation: Operation;
}

/** Everything there is, room by room, in the order of the document. */
export function entriesByTag({ paths = {} }: Reference): Map<string, Entry[]> {
  const rooms = new Map<string, Entry[]>();
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.[0] ?? "other";
      rooms.set(tag, [...(rooms.get(tag) ?? []), { method: method.toUpperCase(), path, operation }]);
    }
  }
  return rooms;
}

export const nameOf = (ref: string): string => ref.split("/").at(-1) ?? ref;

/** A schema as a few lines of text: `{ name: string, region?: "eu" | "us" }`. A named one is its name, spelled out once. */
export function shapeOf(schema: Schema, indent = ""): string {
  if (schema.$ref) return nameOf(schema.$ref);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.map((one) => shapeOf(one, indent)).join(" | ");
  if (schema.allOf) return schema.allOf.map((one) => shapeOf(one, indent)).join(" & ");
  const types = [schema.type ?? "anything"].flat();
  const words = types.map((type) => {
    if (type === "array") return arrayOf(shapeOf(schema.items ?? {}, indent));
    return type === "object" ? shapeOfObject(schema, indent) : type;
  });
  return words.join(" | ");
}

const arrayOf = (shape: string) => (/^[^{]* \| /.test(shape) ? `(${shape})[]` : `${shape}[]`);

function shapeOfObject({ properties, required = [], additionalProperties }: Schema, indent: string): string {
  if (!properties || Object.keys(properties).length === 0) {
    const values = typeof additionalProperties === "object" ? shapeOf(additionalProperties, indent) : "anything";
    return `{ [name]: ${values} }`;
  }
  const inner = `${indent}  `;
  const lines = Object.entries(properties).map(([name, property]) => {
    const optional = required.includes(name) ? "" : "?";
    const about = property.description ? `  — ${property.description}` : "";
    return `${inner}${name}${optional}: ${shapeOf(property, inner)}${about}`;
  });
  return `{\n${lines.join("\n")}\n${indent}}`;
}

/** A body to begin with: every required field, each with the plainest value of its type. */
export function exampleOf(schema: Schema, schemas: Record<string, Schema>): unknown {
  if (schema.$ref) return exampleOf(schemas[nameOf(schema.$ref)] ?? {}, schemas);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices?.[0]) return exampleOf(choices[0], schemas);
  switch ([schema.type].flat()[0]) {
    case "array":
      return schema.items ? [exampleOf(schema.items, schemas)] : [];
    case "object":
      return Object.fromEntries(
        (schema.required ?? []).map((name) => [name, exampleOf(schema.properties?.[name] ?? {}, schemas)]),
      );
    case "integer":
    case "number":
      return 1;
    case "boolean":
      return false;
    case "string":
      return "…";
    default:
      return null;
  }
}
