// expect: CODE_FAILED
// Looks at its arguments.
result = scriptArgs;
