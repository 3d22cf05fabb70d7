// expect: OUTPUT_TOO_LARGE or CODE_MEMORY_EXCEEDED or CODE_CPU_EXCEEDED
// Leaves a result larger than an output may be.
result = new Array(34000).fill('x'.repeat(1000));
