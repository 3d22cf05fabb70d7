// expect: CODE_CPU_EXCEEDED
// Sets timers for ever.
const again = () => setTimeout(again, 0);
again();
for (let i = 0; i < 50; i += 1) again();
