// expect: CODE_CPU_EXCEEDED
// Prints for ever.
for (;;) console.log('x'.repeat(10000));
