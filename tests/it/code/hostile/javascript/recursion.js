// expect: CODE_FAILED
// Calls itself for ever.
function f() {
  f();
}
f();
