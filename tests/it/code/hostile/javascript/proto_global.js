// expect: SUCCESS
// Replaces all that is global.
for (const name of Object.getOwnPropertyNames(globalThis)) {
  try { if (name !== 'result') globalThis[name] = undefined; } catch { /* kept */ }
}
result = [];
