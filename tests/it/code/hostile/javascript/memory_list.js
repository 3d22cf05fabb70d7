// expect: CODE_MEMORY_EXCEEDED or CODE_CPU_EXCEEDED
// Fills memory with a list.
const hoard = [];
for (;;) hoard.push(new Array(10000).fill(hoard.length));
