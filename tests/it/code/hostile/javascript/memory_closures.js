// expect: CODE_MEMORY_EXCEEDED or CODE_CPU_EXCEEDED
// Fills memory with functions.
let chain = null;
for (;;) { const before = chain; chain = () => before; }
