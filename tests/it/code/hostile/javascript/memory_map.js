// expect: CODE_MEMORY_EXCEEDED
// Fills memory with small things.
const hoard = new Map();
for (;;) hoard.set(hoard.size, { a: [] });
