// expect: CODE_CPU_EXCEEDED or CODE_FAILED or CODE_MEMORY_EXCEEDED
// Computes a number that is too large.
let number = 3n;
for (;;) number *= number;
