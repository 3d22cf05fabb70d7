// expect: CODE_CPU_EXCEEDED
// Stays inside one sort.
new Array(1000).fill(0).sort(() => { for (;;); });
