// expect: SUCCESS
// Looks for what the host has left in the global object, by another way to it.
result = ((async () => {}).constructor('return this'))().then((own) =>
  Object.getOwnPropertyNames(own).filter((name) =>
    ["require", "process", "std", "os", "fetch", "Deno", "Bun", "scriptArgs", "loadScript", "read"].includes(name),
  ),
);
