// expect: CODE_CPU_EXCEEDED
// Exhausts what has no end.
function* endless() {
  for (;;) yield 1;
}
for (const _ of endless());
