// expect: SUCCESS or CODE_CPU_EXCEEDED
// Runs when its objects are thrown away.
const registry = typeof FinalizationRegistry === 'undefined' ? null : new FinalizationRegistry(() => { for (;;); });
if (registry) for (let i = 0; i < 1000; i += 1) registry.register({}, i);
result = [];
