// expect: CODE_FAILED
// Asks who has called it.
(function inner() {
  'use strict';
  result = inner.caller.arguments;
})();
