// expect: CODE_FAILED
// Imports a module of the host.
result = import(data.file);
