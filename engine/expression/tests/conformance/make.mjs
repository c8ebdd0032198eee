// Makes cases.json from the conformance tests of the language definition, as the npm package @bufbuild/cel-spec ships
// them (Apache-2.0; see NOTICE). Run it with the package's folder:
//
//   npm pack @bufbuild/cel-spec@0.6.1 && tar xzf bufbuild-cel-spec-0.6.1.tgz
//   node make.mjs package > cases.json
//
// What is taken, and how a case is written:
// - `expr` with the variables of the case as attributes of a contact: `x` becomes `contact.x`, `attributes` has its value.
// - `dyn(…)`, which makes a value of unknown type of one that is known, becomes brackets: here every attribute is dynamic.
// - The value that is expected, by its type, or `"error": true`.
// - What asks for something that Dripline does not have is left out; `left_out` counts why.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { join, resolve } from "node:path";

const folder = resolve(process.argv[2] ?? "package");
const { tests } = await import(pathToFileURL(join(folder, "dist/esm/testdata/conformance.js")).href);
const { version, upstreamCelSpecRef } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));

const SUITES = {
  "protobuf messages, enums and wrappers": ["proto2", "proto2_ext", "proto3", "enums", "dynamic", "wrappers"],
  "types that a checker deduces": ["type_deductions"],
  "libraries and macros that are not part of the language here": [
    "bindings_ext", "block_ext", "encoders_ext", "math_ext", "macros2", "network_ext",
  ],
  "names in namespaces": ["namespace"],
  "the protocol of the conformance server": ["plumbing", "unknowns"],
};

const OUTSIDE_TEXT = [
  ["protobuf messages, enums and wrappers", /google\.protobuf\.|TestAllTypes|NestedTestAllTypes|GlobalEnum|proto[23]\.|cel\.expr\.|\b[A-Z]\w*\s*\{/],
  ["types as values", /\btype\(|\boptional_type\b|\bnull_type\b|\bmap\b\s*==|\blist\b\s*==/],
  ["unsigned numbers", /\buint\b|\b(?:\d+|0x[0-9a-fA-F]+)[uU]\b/],
  ["optional values that an expression makes itself", /\boptional\.|optMap|optFlatMap|[[{,(]\s*\?/],
  ["functions that are not part of the language here", /\.replace\(|\.format\(|\.reverse\(|strings\.quote|\bcel\.|math\./],
];
const WORDS = ["true", "false", "null"];
const BYTES = /\b(?:b|rb|br|B|bR|Rb|BR|RB)(?=['"])|\bbytes\(/;

/// The expression with its texts blanked, so that only what stands outside them is looked at.
function parts(expr) {
  const token = /(?:[rR]?"""[\s\S]*?"""|[rR]?'''[\s\S]*?'''|[rR]"[^"]*"|[rR]'[^']*'|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')/g;
  const pieces = [];
  let last = 0;
  for (const match of expr.matchAll(token)) {
    pieces.push({ text: expr.slice(last, match.index), quoted: false }, { text: match[0], quoted: true });
    last = match.index + match[0].length;
  }
  pieces.push({ text: expr.slice(last), quoted: false });
  return pieces;
}

/// A value as JSON, or `undefined` where JSON has none.
function plain(value) {
  const [[kind, content]] = Object.entries(value);
  switch (kind) {
    case "int64Value": return Number.isSafeInteger(Number(content)) ? Number(content) : undefined;
    case "doubleValue": return typeof content === "number" && !Number.isInteger(content) ? content : undefined;
    case "stringValue":
    case "boolValue": return content;
    case "listValue": {
      const all = (content.values ?? []).map(plain);
      return all.includes(undefined) ? undefined : all;
    }
    case "mapValue": {
      const entries = (content.entries ?? []).map(({ key, value }) => [key.stringValue, plain(value)]);
      return entries.some((entry) => entry.includes(undefined)) ? undefined : Object.fromEntries(entries);
    }
    default: return undefined;
  }
}

/// A value as the language writes it, or `undefined` where it has no literal for it here.
function literal(value) {
  const [[kind, content]] = Object.entries(value);
  switch (kind) {
    case "int64Value": return content;
    case "doubleValue": {
      if (typeof content !== "number") return undefined;
      const text = String(content);
      return /[.e]/.test(text) ? text : `${text}.0`;
    }
    case "stringValue": return JSON.stringify(content);
    case "boolValue": return String(content);
    case "nullValue": return "null";
    case "listValue": {
      const all = (content.values ?? []).map(literal);
      return all.includes(undefined) ? undefined : `[${all.join(", ")}]`;
    }
    case "mapValue": {
      const entries = (content.entries ?? []).map(({ key, value }) => [literal(key), literal(value)]);
      if (entries.some((entry) => entry.includes(undefined))) return undefined;
      return `{${entries.map(([key, value]) => `${key}: ${value}`).join(", ")}}`;
    }
    default: return undefined;
  }
}

/// What the case expects, under the name of its type.
function expected({ value, evalError, typedResult, checkOnly }) {
  if (evalError) return { error: true };
  if (typedResult || checkOnly) return undefined;
  // A case that says nothing expects true.
  if (!value) return { boolean: true };
  const [[kind, content]] = Object.entries(value);
  switch (kind) {
    case "boolValue": return { boolean: content };
    // As a text, because JSON's numbers end at 2^53.
    case "int64Value": return { integer: content };
    case "doubleValue": return { float: String(content) };
    case "stringValue": return { text: content };
    case "objectValue": {
      if (content["@type"].endsWith("google.protobuf.Timestamp")) return { timestamp: content.value };
      if (content["@type"].endsWith("google.protobuf.Duration")) return { equals: `duration("${content.value}")` };
      return undefined;
    }
    default: {
      const written = literal(value);
      return written === undefined ? undefined : { equals: written };
    }
  }
}

const kinds = {
  bytesValue: "bytes", uint64Value: "unsigned numbers", typeValue: "types as values",
  enumValue: "protobuf messages, enums and wrappers", objectValue: "protobuf messages, enums and wrappers",
};

const cases = [];
const leftOut = {};
const leave = (why) => { leftOut[why] = (leftOut[why] ?? 0) + 1; };

function take(path, { original }) {
  const [suite] = path;
  const bySuite = Object.entries(SUITES).find(([, suites]) => suites.includes(suite));
  if (bySuite) return leave(bySuite[0]);
  const pieces = parts(original.expr);
  const outside = pieces.map(({ text, quoted }) => (quoted ? '""' : text)).join("");
  if (BYTES.test(outside)) return leave("bytes");
  const found = OUTSIDE_TEXT.find(([, pattern]) => pattern.test(outside));
  if (found) return leave(found[0]);
  if (original.container) return leave("names in namespaces");
  const result = expected(original);
  if (!result) return leave(original.typedResult || original.checkOnly ? "types that a checker deduces" : kinds[Object.keys(original.value)[0]] ?? "values that the language cannot write here");
  const attributes = {};
  for (const [name, { value }] of Object.entries(original.bindings ?? {})) {
    if (name.includes(".")) return leave("names in namespaces");
    if (Object.keys(value)[0] === "nullValue") return leave("a variable that is null, which is missing here");
    attributes[name] = plain(value);
    if (attributes[name] === undefined) return leave(kinds[Object.keys(value)[0]] ?? "a variable whose value JSON does not have");
  }
  // A variable cannot hide a word of the language.
  const names = Object.keys(attributes).filter((name) => !WORDS.includes(name)).join("|");
  // A field that has the name of a variable is none.
  const variable = names && new RegExp(String.raw`(?<![\w.])(${names})\b(?!\s*\()`, "g");
  const expr = pieces.map(({ text, quoted }) => {
    if (quoted) return text;
    const dynamic = text.replace(/\bdyn\(/g, "(");
    return variable ? dynamic.replace(variable, "contact.$1") : dynamic;
  });
  const named = { name: `${path.join("/")}/${original.name}`, expr: expr.join("") };
  cases.push(Object.keys(attributes).length ? { ...named, attributes, ...result } : { ...named, ...result });
}

function walk({ suites = [], tests: own = [] }, path) {
  own.forEach((test) => take(path, test));
  suites.forEach((suite) => walk(suite, [...path, suite.name]));
}
walk(tests, []);

const total = cases.length + Object.values(leftOut).reduce((sum, count) => sum + count, 0);
const head = { origin: `cel-spec ${upstreamCelSpecRef}, by @bufbuild/cel-spec ${version}`, total, left_out: leftOut };
const lines = cases.map((one) => `    ${JSON.stringify(one)}`).join(",\n");
console.log(`${JSON.stringify(head, null, 2).slice(0, -2)},\n  "cases": [\n${lines}\n  ]\n}`);
