// expect: CODE_CPU_EXCEEDED
// Never ends when its result is written.
result = { toJSON() { for (;;); } };
