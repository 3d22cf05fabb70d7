// expect: CODE_FAILED
// Fetches as browsers did.
new XMLHttpRequest();
