// expect: CODE_FAILED
// Imports QuickJS's other module.
result = import('os').then((os) => os.readdir('/'));
