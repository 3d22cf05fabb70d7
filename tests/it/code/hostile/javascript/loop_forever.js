// expect: CODE_CPU_EXCEEDED
// Never ends.
for (;;);
