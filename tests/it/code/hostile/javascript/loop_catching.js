// expect: CODE_CPU_EXCEEDED
// Never ends, whatever is thrown at it.
for (;;) {
  try {
    for (;;);
  } catch {
    continue;
  } finally {
    for (;;);
  }
}
