// expect: CODE_MEMORY_EXCEEDED or CODE_CPU_EXCEEDED
// Doubles a text for ever.
let text = 'x';
for (;;) text += text + text.slice(1);
