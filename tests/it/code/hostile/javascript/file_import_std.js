// expect: CODE_FAILED
// Imports QuickJS's own module.
result = import('std').then((std) => std.loadFile(data.file));
