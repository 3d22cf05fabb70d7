// expect: CODE_CPU_EXCEEDED
// Never ends when its result is looked at.
result = new Proxy({}, { ownKeys() { for (;;); } });
