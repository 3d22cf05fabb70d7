// expect: CODE_FAILED
// Throws an error of the parser itself.
throw new SyntaxError('this is valid');
