// expect: CODE_MEMORY_EXCEEDED or CODE_CPU_EXCEEDED
// Fills memory with small things.
const hoard = new Map();
for (;;) hoard.set(hoard.size, { a: [] });
