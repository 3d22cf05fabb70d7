// expect: CODE_CPU_EXCEEDED
// Waits for nothing for ever.
(async () => {
  for (;;) await null;
})();
