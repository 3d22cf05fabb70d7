// expect: CODE_FAILED
// Imports a module from its address.
result = import('data:text/javascript,export default 1');
