// expect: CODE_SYNTAX or CODE_FAILED
// Hides code behind what looks like the end of the text.
eval('1;\0 globalThis.x = 1; (');
