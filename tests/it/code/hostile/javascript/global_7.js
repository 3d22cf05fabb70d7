// expect: SUCCESS
// Looks for what the host has left in the global object, by another way to it.
const seen = (0, eval)('this');
const own = seen instanceof Promise ? globalThis : seen;
result = Object.getOwnPropertyNames(own === undefined ? {} : own).filter((name) =>
  ["require", "process", "std", "os", "fetch", "Deno", "Bun", "scriptArgs", "loadScript", "read"].includes(name),
);
