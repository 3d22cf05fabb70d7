// expect: TIMEOUT
// Waits again and again.
const again = () => setTimeout(again, 100);
again();
