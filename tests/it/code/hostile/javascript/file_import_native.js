// expect: CODE_FAILED
// Imports a library.
result = import('/usr/lib/x86_64-linux-gnu/libc.so.6');
