// expect: CODE_CPU_EXCEEDED
// Stays inside the reading of JSON.
JSON.parse('[1]', () => { for (;;); });
