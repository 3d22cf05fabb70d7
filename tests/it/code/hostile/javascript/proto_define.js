// expect: SUCCESS
// Seals the global object.
Object.freeze(globalThis.console);
Object.preventExtensions(globalThis);
result = [];
