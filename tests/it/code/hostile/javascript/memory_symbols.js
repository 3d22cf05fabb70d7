// expect: CODE_MEMORY_EXCEEDED or CODE_CPU_EXCEEDED
// Fills memory with symbols.
const hoard = [];
for (;;) hoard.push(Symbol(String(hoard.length).padEnd(1000, 'x')));
