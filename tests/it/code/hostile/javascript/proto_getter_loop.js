// expect: CODE_CPU_EXCEEDED
// Never ends when its result is read.
Object.defineProperty(globalThis, 'result', { get() { for (;;); } });
