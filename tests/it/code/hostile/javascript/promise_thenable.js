// expect: CODE_CPU_EXCEEDED
// Leaves something that never ends being a promise.
result = Promise.resolve({ then() { for (;;); } });
